package gossip

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
)

// maxKeys bounds the keys that are installed at once.
const maxKeys = 16

// keySet are the keys of the pool after one change of them. The newest set wins everywhere.
type keySet struct {
	Version uint64   // goes up with each change
	Keys    [][]byte // the one that encrypts first
}

// newer says whether the set wins over another. Two that were made at the same time are told apart by what
// they hold, in the same way everywhere.
func (s keySet) newer(other keySet) bool {
	if s.Version != other.Version {
		return s.Version > other.Version
	}
	return bytes.Compare(bytes.Join(s.Keys, nil), bytes.Join(other.Keys, nil)) > 0
}

func (s keySet) equal(other keySet) bool {
	return s.Version == other.Version && slices.EqualFunc(s.Keys, other.Keys, bytes.Equal)
}

func (s keySet) holds(key []byte) bool {
	return slices.ContainsFunc(s.Keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

func (s keySet) encode() []byte {
	out := binary.AppendUvarint(nil, s.Version)
	for _, k := range s.Keys {
		out = append(append(out, byte(len(k))), k...)
	}
	return out
}

func decodeKeySet(b []byte) (keySet, error) {
	version, n := binary.Uvarint(b)
	if n <= 0 {
		return keySet{}, errors.New("a key set without a version")
	}
	s := keySet{Version: version}
	for b = b[n:]; len(b) > 0; {
		size := int(b[0])
		if size > len(b)-1 || len(s.Keys) == maxKeys {
			return keySet{}, fmt.Errorf("a key set that is cut off, or has more than %d keys", maxKeys)
		}
		s.Keys = append(s.Keys, slices.Clone(b[1:1+size]))
		b = b[1+size:]
	}
	return s, s.check()
}

func (s keySet) check() error {
	if len(s.Keys) == 0 {
		return errors.New("a key set without keys")
	}
	for i, k := range s.Keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return err
		}
		if slices.ContainsFunc(s.Keys[:i], func(other []byte) bool { return bytes.Equal(k, other) }) {
			return errors.New("a key set with a key twice")
		}
	}
	return nil
}

// keyring are the keys that this server uses, and keeps.
type keyring struct {
	file string
	ring *memberlist.Keyring

	mu  sync.Mutex
	set keySet
}

// keyringFile is how keys are kept. Nomad's files, which are a list of keys, are read too.
type keyringFile struct {
	Version uint64
	Keys    []string
}

// openKeyring reads the file; what it holds wins over the keys that are given. Without any it returns nil.
func openKeyring(file string, given [][]byte) (*keyring, error) {
	k := &keyring{file: file, set: keySet{Keys: given}}
	kept, err := readKeyring(file)
	if err != nil {
		return nil, fmt.Errorf("gossip: keyring: %w", err)
	}
	if kept != nil {
		k.set = *kept
	}
	if len(k.set.Keys) == 0 {
		return nil, nil
	}
	if err := k.set.check(); err != nil {
		return nil, fmt.Errorf("gossip: encrypt: %w", err)
	}
	if k.ring, err = memberlist.NewKeyring(k.set.Keys, k.set.Keys[0]); err != nil {
		return nil, fmt.Errorf("gossip: encrypt: %w", err)
	}
	if kept == nil {
		err = k.write(k.set)
	}
	return k, err
}

func readKeyring(file string) (*keySet, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var kept keyringFile
	if err := json.Unmarshal(b, &kept); err != nil {
		if json.Unmarshal(b, &kept.Keys) != nil {
			return nil, fmt.Errorf("%s can't be read: it has to be a list of keys in JSON", file)
		}
	}
	set := keySet{Version: kept.Version}
	for _, text := range kept.Keys {
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("%s: a key is not in base64", file)
		}
		set.Keys = append(set.Keys, key)
	}
	return &set, set.check()
}

func (k *keyring) write(set keySet) error {
	if k.file == "" {
		return nil
	}
	kept := keyringFile{Version: set.Version}
	for _, key := range set.Keys {
		kept.Keys = append(kept.Keys, base64.StdEncoding.EncodeToString(key))
	}
	b, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(k.file, append(b, '\n'))
}

func (k *keyring) current() keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set
}

// adopt takes a set if it is newer than what is used: first on the disk, so that a restart does not lose
// it, and then for the network.
func (k *keyring) adopt(next keySet) (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !next.newer(k.set) {
		return false, nil
	}
	if err := next.check(); err != nil {
		return false, err
	}
	if err := k.write(next); err != nil {
		return false, err
	}
	k.set = next
	return true, k.install(next)
}

// install makes memberlist's ring hold a set.
func (k *keyring) install(next keySet) error {
	for _, key := range next.Keys {
		if err := k.ring.AddKey(key); err != nil {
			return err
		}
	}
	if len(k.ring.GetKeys()) == len(next.Keys) {
		return k.ring.UseKey(next.Keys[0])
	}
	// The ring removes a key in place, under the eyes of who reads by it, unless it is the last one. Using
	// the others, which everybody has by now, moves them before it.
	for _, key := range slices.Backward(next.Keys) {
		if err := k.ring.UseKey(key); err != nil {
			return err
		}
	}
	for _, key := range slices.Backward(slices.Clone(k.ring.GetKeys())) {
		if next.holds(key) {
			break
		}
		if err := k.ring.RemoveKey(key); err != nil {
			return err
		}
	}
	return nil
}
