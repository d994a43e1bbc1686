package cli

import (
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/nomadish/api"
)

// remote holds the flags of commands that talk to a server.
type remote struct {
	address, region, namespace, token string
	tls                               api.TLSConfig
	tlsSkipVerify                     bool
	noColor, forceColor, verbose      bool
	context                           string
}

// remoteFlags adds the flags of commands that talk to a server.
func (c *call) remoteFlags() {
	r := &c.remote
	c.flags.StringVar(&r.address, "address", "", "`URL` of an agent's API; default $NOMAD_ADDR, that of the context, or http://127.0.0.1:4646")
	c.flags.StringVar(&r.context, "context", "", "`name` of the cluster to talk to, of \"context list\"; default $NOMADISH_CONTEXT, or the current one")
	c.flags.StringVar(&r.region, "region", "", "region to ask; default $NOMAD_REGION, or the agent's")
	c.flags.StringVar(&r.namespace, "namespace", "", "namespace to look in; default $NOMAD_NAMESPACE, or default")
	c.flags.StringVar(&r.token, "token", "", "secret of an access token; better $NOMAD_TOKEN, which no process list shows")
	c.flags.StringVar(&r.tls.CACert, "ca-cert", "", "`file` of certificates to trust; default $NOMAD_CACERT")
	c.flags.StringVar(&r.tls.CAPath, "ca-path", "", "`directory` of certificates to trust; default $NOMAD_CAPATH")
	c.flags.StringVar(&r.tls.ClientCert, "client-cert", "", "`file` of the client's certificate; default $NOMAD_CLIENT_CERT")
	c.flags.StringVar(&r.tls.ClientKey, "client-key", "", "`file` of the client's key; default $NOMAD_CLIENT_KEY")
	c.flags.StringVar(&r.tls.ServerName, "tls-server-name", "", "`name` that the server's certificate must have; default $NOMAD_TLS_SERVER_NAME")
	c.flags.BoolVar(&r.tlsSkipVerify, "tls-skip-verify", false, "trust any certificate; default $NOMAD_SKIP_VERIFY")
	c.flags.BoolVar(&r.noColor, "no-color", false, "no colors; also by $NO_COLOR")
	c.flags.BoolVar(&r.forceColor, "force-color", false, "colors also where no terminal is written to")
	c.flags.BoolVar(&r.verbose, "verbose", false, "whole IDs, and more of everything")
}

// connect makes a client as flags and environment say.
func (c *call) connect() (*api.Client, error) {
	cfg, err := c.apiConfig()
	if err != nil {
		return nil, err
	}
	return api.New(cfg)
}

func (c *call) apiConfig() (api.Config, error) {
	cfg, err := api.FromEnvironment(c.lookup)
	if err != nil {
		return cfg, err
	}
	known, err := c.context()
	if err != nil {
		return cfg, err
	}
	r := &c.remote
	for _, o := range []struct {
		field *string
		flag  string
	}{
		{&cfg.Address, r.address},
		{&cfg.Region, r.region},
		{&cfg.Namespace, r.namespace},
		{(*string)(&cfg.Token), r.token},
		{&cfg.TLS.CACert, r.tls.CACert},
		{&cfg.TLS.CAPath, r.tls.CAPath},
		{&cfg.TLS.ClientCert, r.tls.ClientCert},
		{&cfg.TLS.ClientKey, r.tls.ClientKey},
		{&cfg.TLS.ServerName, r.tls.ServerName},
	} {
		if o.flag != "" {
			*o.field = o.flag
		}
	}
	if known != nil {
		known.fill(&cfg)
	}
	cfg.TLS.Insecure = cfg.TLS.Insecure || r.tlsSkipVerify
	if cfg.Address != "" && !strings.Contains(cfg.Address, "://") {
		cfg.Address = "http://" + cfg.Address
	}
	return cfg, nil
}

// lookup reads the environment.
func (c *call) lookup(name string) (string, bool) {
	if c.Env == nil {
		return "", false
	}
	return c.Env(name)
}

// addressed says that somebody has named a server, by flag or environment.
func (c *call) addressed() (bool, error) {
	cfg, err := c.apiConfig()
	return cfg.Address != "", err
}

// anyNamespace is where IDs are looked for, which are unique: in all namespaces unless one was named.
func (c *call) anyNamespace() (*api.Query, error) {
	cfg, err := c.apiConfig()
	if err != nil {
		return nil, err
	}
	if cfg.Namespace == "" {
		cfg.Namespace = "*"
	}
	return &api.Query{Namespace: cfg.Namespace}, nil
}

// plural counts things.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
