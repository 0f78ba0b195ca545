package batch

// maxIndex bounds the index of an item.
const maxIndex = 1 << 48

// pageBits is how many indices are kept together.
const pageBits = 4096

// indexSet is a set of indices, which are dense as a rule.
type indexSet struct {
	pages map[int64]*[pageBits / 64]uint64
}

// add puts an index in, and reports whether it was not there.
func (s *indexSet) add(i int64) bool {
	if s.has(i) {
		return false
	}
	if s.pages == nil {
		s.pages = map[int64]*[pageBits / 64]uint64{}
	}
	page := s.pages[i/pageBits]
	if page == nil {
		page = new([pageBits / 64]uint64)
		s.pages[i/pageBits] = page
	}
	page[i%pageBits/64] |= 1 << (i % 64)
	return true
}

func (s *indexSet) has(i int64) bool {
	page := s.pages[i/pageBits]
	return page != nil && page[i%pageBits/64]&(1<<(i%64)) != 0
}
