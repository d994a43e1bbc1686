package certificate

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files are what an agent keeps of the certificates of its cluster's own authority, in a
// directory that nobody else may read.
type Files struct{ Dir string }

// Agent is the file with the agent's certificate, those between it and the authority, and
// its key.
func (f Files) Agent() string { return filepath.Join(f.Dir, "agent.pem") }

// Authorities is the file with the certificates of the authorities that are trusted.
func (f Files) Authorities() string { return filepath.Join(f.Dir, "authorities.pem") }

// seed is the file with the key of the authority of a cluster that has yet to begin.
func (f Files) seed() string { return filepath.Join(f.Dir, "authority.key") }

// WriteAgent stores the agent's certificate, all of it or nothing.
func (f Files) WriteAgent(key crypto.Signer, chain ...*x509.Certificate) error {
	private, err := EncodeKey(key)
	if err != nil {
		return err
	}
	defer clear(private)
	return f.write(f.Agent(), append(EncodePEM(chain...), private...))
}

// WriteAuthorities stores the authorities that are trusted.
func (f Files) WriteAuthorities(all ...*x509.Certificate) error {
	return f.write(f.Authorities(), EncodePEM(all...))
}

// WriteSeed stores the authority of a new cluster, until its servers have it in their state.
func (f Files) WriteSeed(a *Authority) error {
	private, err := EncodeKey(a.key)
	if err != nil {
		return err
	}
	defer clear(private)
	return f.write(f.seed(), append(EncodePEM(a.Certificate), private...))
}

// Seed returns the authority of a new cluster, or nil where there is none.
func (f Files) Seed() (*Authority, error) {
	text, err := os.ReadFile(f.seed())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authority of a new cluster: %w", err)
	}
	defer clear(text)
	a, err := ParseAuthority(text, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.seed(), err)
	}
	return a, nil
}

// kept is the file with the authority that a server keeps beside its state, the key wrapped.
func (f Files) kept() string { return filepath.Join(f.Dir, "authority.kept") }

// WriteKept stores the authority that a server keeps.
func (f Files) WriteKept(text []byte) error { return f.write(f.kept(), text) }

// Kept returns what WriteKept has stored.
func (f Files) Kept() ([]byte, error) { return os.ReadFile(f.kept()) }

// RemoveSeed forgets the authority of a new cluster.
func (f Files) RemoveSeed() error {
	if err := os.Remove(f.seed()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("authority of a new cluster: %w", err)
	}
	return nil
}

// write replaces a file as a whole.
func (f Files) write(path string, content []byte) (err error) {
	defer clear(content)
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	file, err := os.CreateTemp(f.Dir, filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("certificates: %w", errors.Join(err, os.Remove(file.Name())))
	}
	dir, err := os.Open(f.Dir)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// ParseAuthority reads an authority's certificate and key in PEM.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	all, err := ParsePEM(certPEM)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(keyPEM); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY":
			return OpenAuthority(all[0], block.Bytes)
		}
	}
	return nil, errors.New("there is no private key in PEM")
}

// EncodeKey writes a private key in PEM.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// HalfLife is when half of the time of a certificate is over that an Authority has signed: it is
// to be renewed from then on.
func HalfLife(c *x509.Certificate) time.Time {
	begin := c.NotBefore.Add(skew)
	return begin.Add(c.NotAfter.Sub(begin) / 2)
}
