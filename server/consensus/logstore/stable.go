package logstore

import (
	"fmt"
	"maps"
	"slices"
)

// Set stores a value under a key, durably. It costs nothing if the value is there already.
func (s *Store) Set(key, value []byte) error {
	if err := s.lock(); err != nil {
		return err
	}
	defer s.unlock()
	if old, ok := s.values[string(key)]; ok && slices.Equal(old, value) {
		return nil
	}
	values := maps.Clone(s.values)
	values[string(key)] = slices.Clone(value)
	encoded := encodeValues(values)
	if len(encoded) > valueLimit {
		return fmt.Errorf("set %q: %d bytes in all, more than %d", key, len(encoded), valueLimit)
	}
	if err := s.stable.set(encoded); err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = values
	return nil
}

// Get returns the value of a key, or nil.
func (s *Store) Get(key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.values[string(key)]), nil
}

// SetUint64 stores a number under a key, durably.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, le.AppendUint64(nil, value))
}

// GetUint64 returns the number of a key, or 0.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%q is no number", key)
	}
	return le.Uint64(value), nil
}

// encodeValues gives keys and values in the order of keys, each behind its length of two bytes.
func encodeValues(values map[string][]byte) []byte {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(values)) {
		b = append(le.AppendUint16(b, uint16(len(key))), key...)
		b = append(le.AppendUint16(b, uint16(len(values[key]))), values[key]...)
	}
	return b
}

func decodeValues(b []byte) (values map[string][]byte, ok bool) {
	values = map[string][]byte{}
	for len(b) > 0 {
		var key, value []byte
		if key, b, ok = cutPart(b); !ok {
			return nil, false
		}
		if value, b, ok = cutPart(b); !ok {
			return nil, false
		}
		values[string(key)] = slices.Clone(value)
	}
	return values, true
}

func cutPart(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(le.Uint16(b)) + 2
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}
