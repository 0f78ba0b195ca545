package jpeg

import "encoding/binary"

// An ifd is what is wanted of a TIFF directory, which is what EXIF is too.
type ifd struct {
	orientation int    // 1 to 8; 1 where there is none
	icc         []byte // unchecked
}

// Tags and types of TIFF 6.0 and EXIF 2.32.
const (
	tagOrientation = 0x0112
	tagICC         = 0x8773
	typeByte       = 1
	typeShort      = 3
	typeUndefined  = 7
)

// readIFD reads the first directory of a TIFF structure. Whatever is broken in it
// is as if it were not there: a picture is not refused for its metadata.
func readIFD(data []byte) ifd {
	d := ifd{orientation: 1}
	if len(data) < 8 {
		return d
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(data[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return d
	}
	at := int64(order.Uint32(data[4:]))
	if at > int64(len(data))-2 {
		return d
	}
	entries := data[at+2:]
	for range order.Uint16(data[at:]) {
		if len(entries) < 12 {
			break
		}
		d.entry(data, entries[:12], order)
		entries = entries[12:]
	}
	return d
}

// entry reads one: tag, type, count, and the value or where it lies.
func (d *ifd) entry(data, e []byte, order binary.ByteOrder) {
	kind, count := order.Uint16(e[2:]), int64(order.Uint32(e[4:]))
	switch order.Uint16(e) {
	case tagOrientation:
		if v := int(order.Uint16(e[8:])); kind == typeShort && count == 1 && v >= 1 && v <= 8 {
			d.orientation = v
		}
	case tagICC:
		at := int64(order.Uint32(e[8:]))
		if (kind == typeUndefined || kind == typeByte) && count > 4 && at+count <= int64(len(data)) {
			d.icc = data[at : at+count]
		}
	}
}
