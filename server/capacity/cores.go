package capacity

import "math/bits"

// coreSet is a set of CPU cores by id.
type coreSet []uint64

func (s coreSet) has(id uint16) bool {
	w := int(id / 64)
	return w < len(s) && s[w]&(1<<(id%64)) != 0
}

// put adds or removes a core.
func (s *coreSet) put(id uint16, in bool) {
	w := int(id / 64)
	for len(*s) <= w {
		*s = append(*s, 0)
	}
	if in {
		(*s)[w] |= 1 << (id % 64)
	} else {
		(*s)[w] &^= 1 << (id % 64)
	}
}

func (s coreSet) clone() coreSet { return append(coreSet(nil), s...) }

// without returns the cores of s that are not in other.
func (s coreSet) without(other coreSet) coreSet {
	rest := s.clone()
	for w := range min(len(rest), len(other)) {
		rest[w] &^= other[w]
	}
	return rest
}

func (s coreSet) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// first returns the n lowest cores of s, or fewer when it has fewer.
func (s coreSet) first(n int) []uint16 {
	var ids []uint16
	for w, word := range s {
		for ; word != 0 && len(ids) < n; word &= word - 1 {
			ids = append(ids, uint16(w*64+bits.TrailingZeros64(word)))
		}
	}
	return ids
}
