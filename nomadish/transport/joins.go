package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

// JoinPath is where those ask for their first certificate who have none yet.
const JoinPath = "/join"

// JoinRefusal is the answer to who is not let in.
type JoinRefusal struct{ Error string }

// Bounds of what those ask who have no certificate yet.
const (
	joinBody   = 64 << 10
	joinTime   = 30 * time.Second
	joinAnswer = 1 << 20
)

// joins serves who has no certificate yet.
type joins struct {
	conns *handover
	http  *http.Server
}

func newJoins(cfg HubConfig) *joins {
	h := http.TimeoutHandler(http.MaxBytesHandler(cfg.Joins, joinBody), joinTime, "it took too long")
	s := newHTTPServer(cfg.Limits, h, cfg.Logger)
	s.ReadTimeout = joinTime
	return &joins{conns: newHandover(), http: s}
}

func (j *joins) run(ctx context.Context) error { return serve(ctx, j.http, hubGrace, j.conns) }

// AskJoin asks the server at an address for a first certificate. The server is known by the
// fingerprint of the authority that its certificate is of, which comes with the ticket.
func AskJoin(ctx context.Context, addr string, authority [32]byte, req *nomadish.EnrollRequest) (*nomadish.EnrollResponse, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	rt := &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: dialTimeout, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{alpnJoin}, ServerName: certificate.Server.Name(nomadish.DefaultRegion),
		InsecureSkipVerify: true, // VerifyConnection does it: the authority is known by its fingerprint alone
		VerifyConnection:   func(s tls.ConnectionState) error { return pinned(s.PeerCertificates, authority) },
	}}
	defer rt.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://"+addr+JoinPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, joinAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: %w", addr, refusal(resp.StatusCode, text))
	}
	out := &nomadish.EnrollResponse{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("ask %s: it answers what is not understood", addr)
	}
	return out, nil
}

// refusal is what a server that does not let somebody in says.
func refusal(status int, text []byte) error {
	said := JoinRefusal{}
	if json.Unmarshal(text, &said) != nil || said.Error == "" {
		said.Error = http.StatusText(status)
	}
	kind := nomadish.KindInternal
	switch status {
	case http.StatusForbidden:
		kind = nomadish.KindDenied
	case http.StatusBadRequest:
		kind = nomadish.KindInvalid
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		kind = nomadish.KindNoLeader
	}
	return nomadish.Errorf(kind, "%s", said.Error)
}

// ErrOtherCluster says that a server is not of the cluster that a ticket is for.
var ErrOtherCluster = errors.New("its certificate is not of the authority that the join token names")

// pinned says why a chain of certificates is not one of a server, of the authority with a
// fingerprint. The authority's own certificate is in the chain.
func pinned(chain []*x509.Certificate, authority [32]byte) error {
	if len(chain) == 0 {
		return ErrOtherCluster
	}
	for _, c := range chain[1:] {
		if sha256.Sum256(c.Raw) != authority {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(c)
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
			return err
		}
		names, err := certificate.ParseNames(chain[0])
		if err != nil {
			return err
		}
		if len(names.Servers) == 0 {
			return errors.New("its certificate is not one of a server")
		}
		return nil
	}
	return ErrOtherCluster
}
