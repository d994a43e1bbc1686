// Package secrets holds what a server keeps to itself: the keys that sign workload identities.
//
// A server makes its key once and keeps it in a file that only it can read; the public half
// goes into the state, where every server finds it.
package secrets

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Keyring is a directory of private keys.
type Keyring struct{ dir string }

// keyFile is a private key on disk.
type keyFile struct {
	ID         string
	Algorithm  string
	PrivateKey []byte
	CreateTime int64
}

// New returns the keyring in a directory, which need not exist.
func New(dir string) *Keyring { return &Keyring{dir: dir} }

// Active returns the public half of the key that signs, and makes the key where there is
// none. now is in nanoseconds since 1970.
func (k *Keyring) Active(now int64) (*nomadish.IdentityKey, error) {
	newest, err := k.newest()
	if err != nil {
		return nil, err
	}
	if newest == nil {
		if newest, err = k.create(now); err != nil {
			return nil, err
		}
	}
	if len(newest.PrivateKey) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("keyring: key %s has %d bytes, want %d", newest.ID, len(newest.PrivateKey), ed25519.PrivateKeySize)
	}
	public := ed25519.PrivateKey(newest.PrivateKey).Public().(ed25519.PublicKey)
	return &nomadish.IdentityKey{ID: newest.ID, Algorithm: newest.Algorithm, PublicKey: public, CreateTime: newest.CreateTime}, nil
}

func (k *Keyring) newest() (*keyFile, error) {
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	var newest *keyFile
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".key") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(k.dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("keyring: %w", err)
		}
		f := &keyFile{}
		if err := json.Unmarshal(data, f); err != nil {
			return nil, fmt.Errorf("keyring: %s is damaged: %w", e.Name(), err)
		}
		if newest == nil || f.CreateTime > newest.CreateTime {
			newest = f
		}
	}
	return newest, nil
}

func (k *Keyring) create(now int64) (*keyFile, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	f := &keyFile{ID: nomadish.NewID(), Algorithm: nomadish.AlgorithmEdDSA, PrivateKey: private, CreateTime: now}
	data, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	path := filepath.Join(k.dir, f.ID+".key")
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return f, os.Rename(path+".new", path)
}
