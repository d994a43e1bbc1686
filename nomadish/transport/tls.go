package transport

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

// TLSConfig says how connections are encrypted, and whose are taken.
type TLSConfig struct {
	CertFile, KeyFile string   // of this agent, in PEM; required
	CAFile            string   // certificates that sign those of callers; required with VerifyClient
	VerifyClient      bool     // take only callers with a certificate
	MinVersion        uint16   // default TLS 1.2
	CipherSuites      []uint16 // of TLS 1.2; default: those that package tls calls secure
}

// TLS is what was read of a TLSConfig's files. It can be read again while it is in use.
type TLS struct {
	cfg     TLSConfig
	current atomic.Pointer[trust]
	refuse  atomic.Pointer[func(*x509.Certificate) error]
}

// trust is one reading of the files.
type trust struct {
	config *tls.Config
	roots  *x509.CertPool // of callers
}

// LoadTLS reads the files.
func LoadTLS(cfg TLSConfig) (*TLS, error) {
	t := &TLS{cfg: cfg}
	return t, t.Reload()
}

// Reload reads the files again. New connections are held to what they say now, and so are
// the next requests on open ones: a caller whose certificate is not trusted any more is cut
// off. After an error everything stays as it was.
func (t *TLS) Reload() error {
	if t.cfg.CertFile == "" || t.cfg.KeyFile == "" {
		return errors.New("tls: cert_file and key_file must be set")
	}
	pair, err := tls.LoadX509KeyPair(t.cfg.CertFile, t.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	next := &trust{config: &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   cmp.Or(t.cfg.MinVersion, tls.VersionTLS12),
		CipherSuites: t.cfg.CipherSuites,
		NextProtos:   []string{"http/1.1"}, // HTTP/2 can't become a websocket
	}}
	if t.cfg.VerifyClient {
		if next.roots, err = readRoots(t.cfg.CAFile); err != nil {
			return err
		}
		next.config.ClientAuth, next.config.ClientCAs = tls.RequireAndVerifyClientCert, next.roots
	}
	t.current.Store(next)
	return nil
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, errors.New("tls: ca_file must be set: it says which callers' certificates are trusted")
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("tls: ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: ca_file: %s holds no certificate in PEM", file)
	}
	return roots, nil
}

// listener encrypts what l accepts.
func (t *TLS) listener(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{
		MinVersion:         cmp.Or(t.cfg.MinVersion, tls.VersionTLS12),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current.Load().config, nil },
	})
}

// guard cuts off callers whose certificate was trusted when they connected and is not now.
func (t *TLS) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, _ := r.Context().Value(seenKey{}).(*atomic.Pointer[trust])
		now := t.current.Load()
		if err := t.refused(r.TLS); err != nil && now.roots != nil {
			w.Header().Set("Connection", "close")
			http.Error(w, "certificate: "+err.Error(), http.StatusForbidden)
			return
		}
		if now.roots != nil && (seen == nil || seen.Load() != now) {
			if err := now.verify(r.TLS); err != nil {
				w.Header().Set("Connection", "close")
				http.Error(w, "certificate: "+err.Error(), http.StatusForbidden)
				return
			}
			if seen != nil {
				seen.Store(now)
			}
		}
		h.ServeHTTP(w, r)
	})
}

// Refuse has requests be refused whose callers have certificates that are otherwise good: those for which
// refuse returns why.
func (t *TLS) Refuse(refuse func(*x509.Certificate) error) { t.refuse.Store(&refuse) }

// refused says why a caller's certificate is refused.
func (t *TLS) refused(state *tls.ConnectionState) error {
	refuse := t.refuse.Load()
	if refuse == nil || state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	return (*refuse)(state.PeerCertificates[0])
}

// seenKey is the key of what a connection's caller was last checked against.
type seenKey struct{}

// verify checks a caller's certificate.
func (t *trust) verify(state *tls.ConnectionState) error {
	if state == nil || len(state.PeerCertificates) == 0 {
		return errors.New("none was shown")
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}
