package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// maxPEM bounds the certificates that are read from one text.
const maxPEM = 256

// ParsePEM reads all certificates of a text in PEM; there must be one at least.
func ParsePEM(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		if all = append(all, c); len(all) > maxPEM {
			return nil, fmt.Errorf("more than %d certificates", maxPEM)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no certificate in PEM")
	}
	return all, nil
}

// EncodePEM writes certificates as one text in PEM.
func EncodePEM(all ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range all {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}
