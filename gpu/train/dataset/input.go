package dataset

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// bufferBytes is the size of the read buffers; CSV sniffing sees as much.
const bufferBytes = 256 << 10

// input is one file being read from start to end: what is read goes into the
// data set's hash, and gzip is unpacked on the way.
type input struct {
	name   string        // base name, for messages
	r      *bufio.Reader // the content, unpacked
	size   int64         // of the content; -1 when it is packed
	raw    *rawReader
	unpack *unpackReader // nil unless packed
}

// openFile opens a regular file for reading and returns what it is. Devices
// and pipes are refused before they can block or act on being opened.
func openFile(path string, lim limits) (*os.File, fs.FileInfo, error) {
	name := filepath.Base(path)
	if path == "" {
		return nil, nil, bad("name the file to read", "no file is given")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, openFault(path, err)
	}
	if err := regular(name, info); err != nil {
		return nil, nil, err
	}
	// The file may have been replaced since: O_NONBLOCK keeps a pipe in its
	// place from blocking the open, the second look refuses it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, openFault(path, err)
	}
	if info, err = f.Stat(); err == nil {
		err = regular(name, info)
	}
	if err == nil && info.Size() > lim.fileBytes {
		err = bad("train on a part of the rows, or use a denser format",
			"%s: %d bytes are over the limit of %d", name, info.Size(), lim.fileBytes)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func regular(name string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return bad("name a file in it", "%s: is a directory", name)
	case !info.Mode().IsRegular():
		return bad("copy the data to a regular file and name that", "%s: is not a regular file", name)
	case info.Size() == 0:
		return bad("check whether the program that wrote it ended well", "%s: is empty", name)
	}
	return nil
}

// openFault puts a failed open into words.
func openFault(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &Fault{Code: CodeNotFound, Message: fmt.Sprintf("%s: no such file", path),
			Hint: "check the path; the daemon must see the file under the same path"}
	case errors.Is(err, fs.ErrPermission):
		return bad("let the user that runs the daemon read the file and enter its directories",
			"%s: permission denied", path)
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return bad("check the path and the disk", "%s: %v", path, err)
}

// openInput opens path for reading from start to end. Close and, when all
// went well, finish must follow.
func openInput(ctx context.Context, path string, lim limits, sum hash.Hash) (*input, error) {
	f, info, err := openFile(path, lim)
	if err != nil {
		return nil, err
	}
	in, err := newInput(ctx, filepath.Base(path), f, info.Size(), lim, sum)
	if err != nil {
		f.Close()
		return nil, err
	}
	in.raw.file, in.raw.info = f, info
	return in, nil
}

// newInput reads size bytes from r under a name for messages.
func newInput(
	ctx context.Context, name string, r io.Reader, size int64, lim limits, sum io.Writer,
) (*input, error) {
	in := &input{name: name, size: size, raw: &rawReader{ctx: ctx, name: name, r: r, sum: sum}}
	in.r = bufio.NewReaderSize(in.raw, bufferBytes)
	magic, err := in.r.Peek(2)
	if len(magic) < 2 {
		if err != io.EOF {
			return nil, err
		}
		return in, nil
	}
	if magic[0] != 0x1f || magic[1] != 0x8b {
		return in, nil
	}
	in.unpack = &unpackReader{name: name, raw: in.raw, lim: lim}
	if in.unpack.gz, err = gzip.NewReader(in.r); err != nil {
		return nil, in.unpack.fault(err)
	}
	in.size = -1
	in.r = bufio.NewReaderSize(in.unpack, bufferBytes)
	return in, nil
}

// finish reads what the format left unread into the hash, and checks that the
// file stayed as it was when it was opened.
func (in *input) finish() error {
	if _, err := io.Copy(io.Discard, in.raw); err != nil {
		return err
	}
	if in.raw.file == nil {
		return nil
	}
	return unchanged(in.name, in.raw.file, in.raw.info)
}

// Close closes the file.
func (in *input) Close() error {
	if in.raw.file == nil {
		return nil
	}
	return in.raw.file.Close()
}

// unchanged reports a file that was written to while it was read.
func unchanged(name string, f *os.File, was fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat %s: %w", name, err)
	}
	if now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime()) {
		return bad("wait until it is complete, then submit again", "%s: changed while it was read", name)
	}
	return nil
}

// rawReader reads a file's bytes as they lie on disk.
type rawReader struct {
	ctx  context.Context // of the load this reader belongs to
	name string
	r    io.Reader
	sum  io.Writer
	n    int64
	file *os.File // nil when r is not a file
	info fs.FileInfo
}

func (r *rawReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.name, err)
	}
	n, err := r.r.Read(p)
	r.n += int64(n)
	r.sum.Write(p[:n]) // a hash never fails
	if err != nil && err != io.EOF {
		err = readFault(r.name, err)
	}
	return n, err
}

// readFault puts a failed read into words.
func readFault(name string, err error) error {
	if settled(err) {
		return err
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return bad("check the disk or the mount that holds it", "%s: cannot be read: %v", name, err)
}

// unpackReader unpacks gzip and refuses what grows beyond the limits.
type unpackReader struct {
	name string
	raw  *rawReader
	gz   *gzip.Reader
	lim  limits
	n    int64
}

func (r *unpackReader) Read(p []byte) (int, error) {
	n, err := r.gz.Read(p)
	r.n += int64(n)
	if r.n > r.lim.decodedBytes {
		return 0, bad("train on a part of the rows", "%s: unpacks to more than %d bytes", r.name, r.lim.decodedBytes)
	}
	if r.n > r.lim.packGrace && r.n/r.lim.packRatio > r.raw.n {
		return 0, bad("if the file is what you think it is, unpack it first (gunzip)",
			"%s: unpacks to more than %d times its size", r.name, r.lim.packRatio)
	}
	if err != nil && err != io.EOF {
		err = r.fault(err)
	}
	return n, err
}

func (r *unpackReader) fault(err error) error {
	switch {
	case settled(err):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return bad("copy or download the file again", "%s: the gzip data is cut short", r.name)
	}
	return bad("copy or download the file again", "%s: the gzip data is damaged: %v", r.name, err)
}
