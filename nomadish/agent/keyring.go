package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/secrets"
)

// KeyringFile is a keyring block: a key that wraps the root keys.
type KeyringFile struct {
	Type string   `hcl:"type,label"` // aead: a file of the server's; transit: a key of Vault's transit engine
	Body hcl.Body `hcl:",remain"`
}

// keyringBlock is what all keyring blocks hold.
type keyringBlock struct {
	Active *bool   `hcl:"active,optional"` // wraps new root keys; the others only unwrap
	Name   *string `hcl:"name,optional"`   // tells blocks apart for readers
}

// transitBlock is a keyring block of type transit.
type transitBlock struct {
	Active         *bool                `hcl:"active,optional"`
	Name           *string              `hcl:"name,optional"`
	Address        *string              `hcl:"address,optional"` // default $VAULT_ADDR
	Token          *nomadish.SecretText `hcl:"token,optional"`   // default $VAULT_TOKEN
	KeyName        *string              `hcl:"key_name,optional"`
	KeyIDPrefix    *string              `hcl:"key_id_prefix,optional"`
	MountPath      *string              `hcl:"mount_path,optional"`
	Namespace      *string              `hcl:"namespace,optional"`
	DisableRenewal *bool                `hcl:"disable_renewal,optional"`
	CACert         *string              `hcl:"tls_ca_cert,optional"`
	ClientCert     *string              `hcl:"tls_client_cert,optional"`
	ClientKey      *string              `hcl:"tls_client_key,optional"`
	ServerName     *string              `hcl:"tls_server_name,optional"`
	SkipVerify     *bool                `hcl:"tls_skip_verify,optional"`
}

// wrappers makes the wrapping keys of all keyring blocks, the active one first. A nil one is
// that in the server's own file.
func (f *File) wrappers(r *reading) []secrets.Wrapper {
	var active, others []secrets.Wrapper
	for _, block := range f.Keyring {
		w, isActive, err := block.wrapper()
		if err != nil {
			r.fail("keyring %q: %w", block.Type, err)
			continue
		}
		if isActive == nil && len(f.Keyring) == 1 || nomadish.Val(isActive) {
			active = append(active, w)
		} else {
			others = append(others, w)
		}
	}
	if len(f.Keyring) > 0 && len(r.errs) == 0 && len(active) != 1 {
		r.fail("keyring: %d blocks are active, want one", len(active))
	}
	return append(active, others...)
}

func (k *KeyringFile) wrapper() (w secrets.Wrapper, active *bool, err error) {
	switch k.Type {
	case "aead":
		block := keyringBlock{}
		if diags := gohcl.DecodeBody(k.Body, nil, &block); diags.HasErrors() {
			return nil, nil, diags
		}
		return nil, block.Active, nil
	case "transit":
		block := transitBlock{}
		if diags := gohcl.DecodeBody(k.Body, nil, &block); diags.HasErrors() {
			return nil, nil, diags
		}
		w, err := block.wrapper()
		return w, block.Active, err
	}
	return nil, nil, errors.New("not supported: the types are aead and transit")
}

func (b *transitBlock) wrapper() (secrets.Wrapper, error) {
	if nomadish.Val(b.SkipVerify) {
		return nil, errors.New("tls_skip_verify: anybody could answer in the service's place; name its authority with tls_ca_cert")
	}
	conf, err := b.tls()
	if err != nil {
		return nil, err
	}
	cfg := secrets.TransitConfig{
		Address: valueOr(b.Address, "VAULT_ADDR"), Token: nomadish.SecretText(valueOr((*string)(b.Token), "VAULT_TOKEN")), Namespace: nomadish.Val(b.Namespace),
		Mount: nomadish.Val(b.MountPath), KeyName: nomadish.Val(b.KeyName), Prefix: nomadish.Val(b.KeyIDPrefix),
		KeepToken: nomadish.Val(b.DisableRenewal), HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: conf, Proxy: http.ProxyFromEnvironment}},
	}
	w, err := secrets.NewTransit(cfg)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// tls returns how the service is recognised, and this server by it.
func (b *transitBlock) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: nomadish.Val(b.ServerName)}
	if path := nomadish.Val(b.CACert); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("tls_ca_cert: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca_cert: %s holds no certificate", path)
		}
	}
	if cert, key := nomadish.Val(b.ClientCert), nomadish.Val(b.ClientKey); cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("tls_client_cert: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// valueOr is what the block says, or the variable of the environment.
func valueOr(said *string, variable string) string {
	if said != nil {
		return *said
	}
	return os.Getenv(variable)
}

// keyring says how root keys are kept, and for how long.
func (s *ServerFile) keyring(r *reading) secrets.Config {
	c := secrets.Config{
		Algorithm: nomadish.Val(s.IdentityAlgorithm),
		Rotate:    r.duration("server.root_key_rotation_threshold", s.RootKeyRotation),
		Forget:    r.duration("server.root_key_gc_threshold", s.RootKeyGCThreshold),
		Every:     r.duration("server.root_key_gc_interval", s.RootKeyGCInterval),
	}
	switch c.Algorithm {
	case "", nomadish.AlgorithmEdDSA, nomadish.AlgorithmRS256:
	default:
		r.fail("server.identity_algorithm: %q is neither %s nor %s", c.Algorithm, nomadish.AlgorithmEdDSA, nomadish.AlgorithmRS256)
	}
	return c
}
