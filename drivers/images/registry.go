//go:build linux

package images

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
)

// resolver talks to registries as the node's configuration says: with TLS but to this host
// and those that it names, through the mirrors that it names, and with credentials only to
// the host that they are for.
func (s *Store) resolver(ctx context.Context, req Request) remotes.Resolver {
	credentials := s.credentials(ctx, req)
	return docker.NewResolver(docker.ResolverOptions{
		Headers: http.Header{"User-Agent": {"nomadish"}},
		Hosts: func(host string) ([]docker.RegistryHost, error) {
			opts, err := s.hostOptions(host)
			if err != nil {
				return nil, err
			}
			opts.Credentials = credentials
			return config.ConfigureHosts(ctx, opts)(host)
		},
	})
}

// hostOptions says how one registry is asked where its directory says nothing else.
func (s *Store) hostOptions(host string) (config.HostOptions, error) {
	opts := config.HostOptions{}
	if s.cfg.Hosts != "" {
		opts.HostDir = config.HostDirFromRoot(s.cfg.Hosts)
	}
	if s.cfg.dial != nil {
		opts.UpdateClient = func(c *http.Client) error {
			if t, ok := c.Transport.(*http.Transport); ok {
				t.DialContext = s.cfg.dial
			}
			return nil
		}
	}
	switch {
	case slices.Contains(s.cfg.Insecure, host):
		opts.DefaultScheme = "http"                             // after TLS was tried
		opts.DefaultTLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the operator lists this registry for it
	case slices.Contains(s.cfg.PlainHTTP, host):
		opts.DefaultScheme = "http"
	case s.cfg.CA != "":
		pool, err := authorities(s.cfg.CA)
		if err != nil {
			return opts, fmt.Errorf("registry_ca: %w", err)
		}
		opts.DefaultTLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return opts, nil
}

// authorities are the system's and those of a PEM file. It is read each time: operators
// renew it.
func authorities(path string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", path)
	}
	return pool, nil
}
