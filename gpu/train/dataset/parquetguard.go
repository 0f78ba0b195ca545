package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/format"
)

// The Parquet library allocates what footers, page headers and run lengths
// announce: a file of a hundred bytes can ask it for terabytes, and running
// out of memory cannot be recovered from. So the guard reads all of these
// first, unpacks every page under a limit, and lets the library see only files
// whose announcements are true.

// maxParquetList is the library's limit on columns; no list of a footer has
// more entries in files for training.
const maxParquetList = 1 << 16

// guardFooter checks the file's frame and its footer.
func guardFooter(name string, r io.ReaderAt, size int64, lim limits) error {
	var head [4]byte
	var tail [8]byte
	if size < 12 {
		return notParquet(name)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return readFault(name, err)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return readFault(name, err)
	}
	switch {
	case string(head[:]) == "PARE" || string(tail[4:]) == "PARE":
		return bad("write it without encryption", "%s: the Parquet file is encrypted", name)
	case string(head[:]) != "PAR1":
		return notParquet(name)
	case string(tail[4:]) != "PAR1":
		return bad("the file is cut short: copy or download it again", "%s: the Parquet file has no footer", name)
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if length > size-12 || length > lim.footerBytes {
		return damaged(name, fmt.Errorf("a footer of %d bytes", length))
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return readFault(name, err)
	}
	w := &thriftWalk{b: footer, maxList: maxParquetList}
	if err := w.structure(); err != nil {
		return damaged(name, fmt.Errorf("footer: %w", err))
	}
	return nil
}

func notParquet(name string) error {
	return bad("is this the right file? write it with to_parquet", "%s: not a Parquet file", name)
}

// pageHeader is what a page says of itself.
type pageHeader struct {
	kind               int64 // format.PageType
	unpacked, packed   int64 // bytes without the header
	values             int64
	encoding           int64 // format.Encoding
	repetition, levels int64 // v2: bytes of repetition and definition levels, never packed
	plain              bool  // v2: the values are not packed
	bytes              int64 // of the header itself
}

// parsePageHeader reads the header at the start of b.
func parsePageHeader(b []byte) (h pageHeader, err error) {
	found := map[[2]int16]int64{{8, 7}: 1}
	w := &thriftWalk{b: b, maxList: maxParquetList, see: func(path []int16, v int64) {
		switch len(path) {
		case 1:
			found[[2]int16{path[0]}] = v
		case 2:
			found[[2]int16{path[0], path[1]}] = v
		}
	}}
	if err := w.structure(); err != nil {
		return h, err
	}
	h = pageHeader{
		kind: found[[2]int16{1}], unpacked: found[[2]int16{2}], packed: found[[2]int16{3}], bytes: int64(w.at),
	}
	switch format.PageType(h.kind) {
	case format.DataPage:
		h.values, h.encoding = found[[2]int16{5, 1}], found[[2]int16{5, 2}]
	case format.DictionaryPage:
		h.values, h.encoding = found[[2]int16{7, 1}], found[[2]int16{7, 2}]
	case format.DataPageV2:
		h.values, h.encoding = found[[2]int16{8, 1}], found[[2]int16{8, 4}]
		h.levels, h.repetition = found[[2]int16{8, 5}], found[[2]int16{8, 6}]
		h.plain = found[[2]int16{8, 7}] == 0
	default:
		return h, fmt.Errorf("a page of unknown type %d", h.kind)
	}
	return h, nil
}

// chunkGuard checks the pages of column chunks, one chunk after the other.
type chunkGuard struct {
	name   string
	r      io.ReaderAt
	size   int64
	lim    limits
	page   []byte // as it lies in the file
	unpack unpacker
}

// chunk checks one column chunk. optional says whether its column may hold nulls.
func (g *chunkGuard) chunk(meta *format.ColumnMetaData, optional bool) error {
	start, length := meta.DataPageOffset, meta.TotalCompressedSize
	if meta.DictionaryPageOffset != 0 {
		start = meta.DictionaryPageOffset
	}
	if start < 4 || length < 0 || start > g.size || length > g.size-start {
		return damaged(g.name, errors.New("a column lies outside of the file"))
	}
	for end := start + length; start < end; {
		h, err := g.header(start, end)
		if err != nil {
			return damaged(g.name, fmt.Errorf("page header: %w", err))
		}
		start += h.bytes
		if err := g.sizes(h, end-start); err != nil {
			return damaged(g.name, err)
		}
		if int64(cap(g.page)) < h.packed {
			g.page = make([]byte, h.packed)
		}
		g.page = g.page[:h.packed]
		if _, err := g.r.ReadAt(g.page, start); err != nil {
			return readFault(g.name, err)
		}
		if err := g.content(h, meta.Codec, optional); err != nil {
			return damaged(g.name, err)
		}
		start += h.packed
	}
	return nil
}

// header reads the page header at start; most are under 100 bytes, but they
// may hold a text column's smallest and greatest value.
func (g *chunkGuard) header(start, end int64) (pageHeader, error) {
	for most := int64(256); ; most *= 8 {
		b := make([]byte, min(most, end-start))
		if _, err := g.r.ReadAt(b, start); err != nil {
			return pageHeader{}, readFault(g.name, err)
		}
		h, err := parsePageHeader(b)
		if err != io.ErrUnexpectedEOF || int64(len(b)) == end-start || most >= g.lim.headerBytes {
			return h, err
		}
	}
}

func (g *chunkGuard) sizes(h pageHeader, left int64) error {
	switch {
	case h.packed < 0 || h.packed > left || h.packed > g.lim.pageBytes:
		return fmt.Errorf("a page of %d bytes", h.packed)
	case h.unpacked < 0 || h.unpacked > g.lim.pageBytes:
		return fmt.Errorf("a page that unpacks to %d bytes", h.unpacked)
	case h.values < 0 || h.values > g.lim.pageBytes/4:
		return fmt.Errorf("a page of %d values", h.values)
	case h.repetition < 0 || h.levels < 0 || h.repetition > h.packed || h.levels > h.packed,
		h.repetition+h.levels > min(h.packed, h.unpacked):
		return errors.New("a page shorter than its levels")
	}
	return nil
}

// content unpacks the page in g.page and follows its run lengths.
func (g *chunkGuard) content(h pageHeader, codec format.CompressionCodec, optional bool) error {
	levels := g.page[h.repetition:][:h.levels]
	body := g.page[h.repetition+h.levels:]
	var err error
	if !h.plain {
		if body, err = g.unpack.bytes(codec, body, h.unpacked-h.repetition-h.levels); err != nil {
			return err
		}
	}
	switch format.PageType(h.kind) {
	case format.DictionaryPage:
		//lint:ignore SA1019 deprecated for writers; old files have it
		if e := format.Encoding(h.encoding); e != format.Plain && e != format.PlainDictionary {
			return fmt.Errorf("a dictionary in encoding %v", e)
		}
		if h.values > 8*int64(len(body)) {
			return fmt.Errorf("a dictionary of %d values in %d bytes", h.values, len(body))
		}
		return nil
	case format.DataPage:
		if optional {
			if levels, body, err = prefixed(body); err != nil {
				return err
			}
		}
	}
	if len(levels) > 0 {
		if err := checkRuns(levels, 1, h.values); err != nil {
			return fmt.Errorf("definition levels: %w", err)
		}
	}
	return checkValues(format.Encoding(h.encoding), body, h.values)
}

// prefixed splits off a piece that its four-byte length precedes.
func prefixed(b []byte) (piece, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if n > int64(len(b)-4) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return b[4 : 4+n], b[4+n:], nil
}

// checkValues checks that decoding body gives about the number of values that
// the page announces, whatever lengths are written in it.
func checkValues(e format.Encoding, body []byte, values int64) error {
	switch e {
	case format.Plain, format.ByteStreamSplit:
		return nil // as many values as there are bytes for
	//lint:ignore SA1019 deprecated for writers; old files have it
	case format.PlainDictionary, format.RLEDictionary:
		if len(body) == 0 {
			return nil
		}
		return checkRuns(body[1:], int(body[0]), values)
	case format.RLE: // booleans
		runs, _, err := prefixed(body)
		if err != nil {
			return err
		}
		return checkRuns(runs, 1, values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		if len(body) == 0 {
			return nil
		}
		r := bytes.NewReader(body)
		var header [3]uint64 // block size, mini blocks, values
		for i := range header {
			v, err := binary.ReadUvarint(r)
			if err != nil {
				return io.ErrUnexpectedEOF
			}
			header[i] = v
		}
		if header[2] > uint64(values) {
			return fmt.Errorf("a page of %d values announces %d", values, header[2])
		}
		return nil
	}
	return &unsupported{what: fmt.Sprintf("pages in encoding %v", e),
		hint: "write it again in the plain or dictionary encoding, which are what most programs write"}
}

// unsupported is a feature of the format that is not read here.
type unsupported struct{ what, hint string }

func (u *unsupported) Error() string { return u.what + " cannot be read" }

// checkRuns follows the run-length and bit-packing hybrid in b: its runs must
// not hold more values than announced, apart from a last run's padding.
func checkRuns(b []byte, bitWidth int, values int64) error {
	if bitWidth > 32 {
		return fmt.Errorf("values of %d bits", bitWidth)
	}
	const padding = 8 * 64
	total := int64(0)
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return errors.New("a run without a length")
		}
		b = b[n:]
		run, body := v>>1, uint64(bitWidth+7)/8
		if v > 1<<40 {
			return fmt.Errorf("a run of %d values", run)
		}
		if v&1 != 0 { // bit-packed: groups of eight
			body = run * uint64(bitWidth)
			run *= 8
		}
		if total += int64(run); total > values+padding {
			return fmt.Errorf("a page of %d values holds %d or more", values, total)
		}
		b = b[min(body, uint64(len(b))):]
	}
	return nil
}
