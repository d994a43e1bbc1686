package login

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/nomadish/nomadish/nomadish"
)

// supported are the algorithms that a method may allow: those with a public key alone. With
// a shared secret, whoever verifies a token can also make one, and a public key that is taken
// for a secret lets everybody.
var supported = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// minRSA is the least size of an RSA key, in bits.
const minRSA = 2048

// signatures are the algorithms that a method allows; RS256 unless it names some.
func signatures(c *nomadish.ACLAuthMethodConfig) []jose.SignatureAlgorithm {
	if len(c.SigningAlgs) == 0 {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	var allowed []jose.SignatureAlgorithm
	for _, name := range c.SigningAlgs {
		if alg := jose.SignatureAlgorithm(name); slices.Contains(supported, alg) {
			allowed = append(allowed, alg)
		}
	}
	return allowed
}

func names(algorithms []jose.SignatureAlgorithm) string {
	list := make([]string, len(algorithms))
	for i, a := range algorithms {
		list[i] = string(a)
	}
	return strings.Join(list, ", ")
}

// suits says whether a key can have made a signature with an algorithm.
func suits(key any, algorithm string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")) && k.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		switch jose.SignatureAlgorithm(algorithm) {
		case jose.ES256:
			return k.Curve == elliptic.P256()
		case jose.ES384:
			return k.Curve == elliptic.P384()
		case jose.ES512:
			return k.Curve == elliptic.P521()
		}
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false
}

// publicKey reads a public key, or a certificate with one, in PEM.
func publicKey(text string) (any, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "a public key must be one block of PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "public key: %w", err)
	}
	if !slices.ContainsFunc(supported, func(a jose.SignatureAlgorithm) bool { return suits(key, string(a)) }) {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "public key: a %T of this kind or size verifies no supported algorithm", key)
	}
	return key, nil
}
