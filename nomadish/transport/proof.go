package transport

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

// A session lasts longer than a certificate. Its ends prove to each other, by a request on it,
// that they have got newer ones: with a signature of what only the two ends of this very
// connection know.

const (
	proofPath  = "/nomadish/session/certificate"
	proofMax   = 64 << 10
	proofLabel = "EXPORTER-nomadish-session-certificate"
)

// proof is the body of such a request.
type proof struct {
	Chain     [][]byte // DER, the agent's own first
	Signature []byte
}

// toSign is what an end of the connection signs. The two ends sign different things.
func (s *secured) toSign(signer x509.ExtKeyUsage, leaf []byte) ([]byte, error) {
	state := s.ConnectionState()
	secret, err := state.ExportKeyingMaterial(proofLabel, nil, 32)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	sum := sha256.Sum256(leaf)
	return fmt.Appendf(nil, "nomadish session certificate\x00%d\x00%s%s", signer, secret, sum[:]), nil
}

// prove shows the peer of a session this agent's certificate.
func (s *secured) prove(ctx context.Context, l *link, now *credentials) error {
	own := x509.ExtKeyUsageClientAuth
	if s.usage == own {
		own = x509.ExtKeyUsageServerAuth
	}
	what, err := s.toSign(own, now.Certificate.Leaf.Raw)
	if err != nil {
		return err
	}
	p := proof{Chain: now.Certificate.Certificate}
	if p.Signature, err = sign(now.Certificate.PrivateKey, what); err != nil {
		return err
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://peer"+proofPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := l.client.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // for the message alone
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return nil
}

// readProof takes what the peer proves.
func (s *secured) readProof(r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, proofMax))
	if err != nil {
		return err
	}
	var p proof
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	chain := make([]*x509.Certificate, len(p.Chain))
	for i, der := range p.Chain {
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return err
		}
	}
	if len(chain) == 0 {
		return errors.New("no certificate was shown")
	}
	what, err := s.toSign(s.usage, chain[0].Raw)
	if err != nil {
		return err
	}
	algorithm, err := algorithmOf(chain[0].PublicKey)
	if err != nil {
		return err
	}
	if err := chain[0].CheckSignature(algorithm, what, p.Signature); err != nil {
		return nomadish.Errorf(nomadish.KindDenied, "certificate: the proof is not good: %w", err)
	}
	return s.accept(chain)
}

// algorithmOf is how proofs are signed with a key.
func algorithmOf(public crypto.PublicKey) (x509.SignatureAlgorithm, error) {
	switch public.(type) {
	case *ecdsa.PublicKey:
		return x509.ECDSAWithSHA256, nil
	case *rsa.PublicKey:
		return x509.SHA256WithRSA, nil
	case ed25519.PublicKey:
		return x509.PureEd25519, nil
	}
	return 0, fmt.Errorf("keys of type %T are not known", public)
}

func sign(key crypto.PrivateKey, what []byte) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key of type %T can't sign", key)
	}
	if _, ok := key.(ed25519.PrivateKey); ok {
		return signer.Sign(rand.Reader, what, crypto.Hash(0))
	}
	sum := sha256.Sum256(what)
	return signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}
