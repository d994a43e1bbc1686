package secrets

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// wrapKeySize is that of a key in a file.
const wrapKeySize = 32

// FilePrefix begins the names of wrapping keys in files.
const FilePrefix = "aead:"

// File is a wrapping key in a file, which only its owner may read. All servers of a cluster
// have the same one; who loses it loses what the keyring holds.
type File struct {
	path string

	mu   sync.Mutex
	name string
	aead cipher.AEAD // nil: not read yet
}

var _ Wrapper = (*File)(nil)

// NewFile returns the wrapping key in a file. The file is read when it is needed, and need
// not be there before.
func NewFile(path string) *File { return &File{path: path} }

// Name implements Wrapper. It is made of the key's hash, and incomplete without the file.
func (f *File) Name() string {
	if _, name, err := f.read(); err == nil {
		return name
	}
	return "aead"
}

// Check says why the file can't be used.
func (f *File) Check() error {
	_, _, err := f.read()
	return err
}

// Wrap implements Wrapper.
func (f *File) Wrap(_ context.Context, plain []byte) ([]byte, error) {
	aead, name, err := f.read()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, []byte(name)), nil
}

// Unwrap implements Wrapper.
func (f *File) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	aead, name, err := f.read()
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, wrapped, []byte(name))
	if err != nil {
		return nil, errors.New("what is wrapped is damaged")
	}
	return plain, nil
}

// Create makes the key and its file, unless the file is there.
func (f *File) Create() error {
	if err := f.Check(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("wrapping key: %w", err)
	}
	key := make([]byte, wrapKeySize)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	defer clear(key)
	if err := writeSecret(f.path, []byte(base64.StdEncoding.EncodeToString(key)+"\n")); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return f.Check() // somebody else was faster
		}
		return fmt.Errorf("wrapping key: %w", err)
	}
	return syncDir(dir)
}

// writeSecret writes a file that must not be there yet, whole or not at all.
func writeSecret(path string, content []byte) (err error) {
	defer clear(content)
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Link(file.Name(), path) // unlike a rename, it replaces nothing
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Export returns the key itself, for another server of the cluster. The caller clears it.
func (f *File) Export() ([]byte, error) { return readKey(f.path) }

// Adopt makes a key of another server the one in the file. One that is there already, and was made for
// nothing, is kept beside it.
func (f *File) Adopt(key []byte) error {
	if len(key) != wrapKeySize {
		return fmt.Errorf("wrapping key: %d bytes, want %d", len(key), wrapKeySize)
	}
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("wrapping key: %w", err)
	}
	switch err := f.Check(); {
	case err == nil:
		aside := f.path + "." + strings.TrimPrefix(f.Name(), FilePrefix)
		if err := os.Rename(f.path, aside); err != nil {
			return fmt.Errorf("wrapping key: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := writeSecret(f.path, []byte(base64.StdEncoding.EncodeToString(key)+"\n")); err != nil {
		return fmt.Errorf("wrapping key: %w", err)
	}
	f.mu.Lock()
	f.aead, f.name = nil, ""
	f.mu.Unlock()
	return syncDir(dir)
}

// read returns the key once it could be read.
func (f *File) read() (cipher.AEAD, string, error) {
	f.mu.Lock()
	aead, name := f.aead, f.name
	f.mu.Unlock()
	if aead != nil {
		return aead, name, nil
	}
	key, err := readKey(f.path)
	if err != nil {
		return nil, "", err
	}
	defer clear(key)
	if aead, err = newAEAD(key); err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(append([]byte("nomadish wrapping key\x00"), key...))
	name = FilePrefix + hex.EncodeToString(sum[:8])
	f.mu.Lock()
	f.aead, f.name = aead, name
	f.mu.Unlock()
	return aead, name, nil
}

// readKey reads a key from a file that nobody but its owner may open.
func readKey(path string) ([]byte, error) {
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("wrapping key: there is no file %s: copy it from another server or from its backup: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("wrapping key: %w", err)
	}
	defer clear(text)
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != wrapKeySize {
		return nil, fmt.Errorf("wrapping key: %s does not hold %d bytes in base64", path, wrapKeySize)
	}
	return key, nil
}

// readSecret reads a short file that nobody but its owner may open.
func readSecret(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %#o): make it 0600", path, mode)
	}
	return io.ReadAll(io.LimitReader(file, 1024))
}
