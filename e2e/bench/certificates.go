//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// certificates are the files of a small cluster: an authority, and a certificate and a key for
// each role.
type certificates struct{ dir string }

func (c certificates) ca() string              { return filepath.Join(c.dir, "ca.pem") }
func (c certificates) cert(role string) string { return filepath.Join(c.dir, role+".pem") }
func (c certificates) key(role string) string  { return filepath.Join(c.dir, role+"-key.pem") }

// newCertificates makes the files.
func newCertificates(dir string) (c certificates, err error) {
	c.dir = dir
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if err := writeCertificate(c.ca(), ca, ca, key, key); err != nil {
		return c, err
	}
	for i, role := range []string{"server", "client"} {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return c, err
		}
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			DNSNames:    []string{role + ".global.nomad", "localhost"},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}
		if err := writeCertificate(c.cert(role), leaf, ca, own, key); err != nil {
			return c, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			return c, err
		}
		if err := os.WriteFile(c.key(role), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			return c, err
		}
	}
	return c, nil
}

// writeCertificate signs a certificate for a key.
func writeCertificate(path string, cert, authority *x509.Certificate, own, signing *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, authority, &own.PublicKey, signing)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
