package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Config says which agent to talk to, and as whom.
type Config struct {
	Address string              // URL with http, https or unix; default http://127.0.0.1:4646
	Token   nomadish.SecretText // of a token

	// Others are URLs of more agents of the same region. Where the one that was asked last can't be
	// reached, does not answer or can't serve just now, the next one is asked, within the context
	// of the call: reads, and writes, which are carried out once all the same.
	Others []string

	Region    string // default: the agent's
	Namespace string // default: "default"
	TLS       TLSConfig

	// Transport carries the requests; default: connections to Address. With it, Address
	// is but a name.
	Transport http.RoundTripper

	NodeID     string // of the client node that the requests are made for, if one does
	NodeSecret nomadish.SecretText
}

// TLSConfig are the files for https.
type TLSConfig struct {
	CACert     string // file of certificates to trust; default: the system's
	CAPath     string // directory of such files
	ClientCert string
	ClientKey  string
	ServerName string // that the certificate must have; default: the address's host
	Insecure   bool   // trust any certificate
}

func (c Config) withDefaults() Config {
	c.Address = cmp.Or(c.Address, "http://127.0.0.1:4646")
	return c
}

// FromEnvironment reads the variables that Nomad's clients read, NOMAD_ADDR and so on. A
// variable of the same name that begins with NOMADISH_ wins.
func FromEnvironment(lookup func(name string) (string, bool)) (Config, error) {
	env := func(name string) string {
		if v, ok := lookup("NOMADISH_" + name); ok {
			return v
		}
		v, _ := lookup("NOMAD_" + name)
		return v
	}
	c := Config{
		Address:   env("ADDR"),
		Token:     nomadish.SecretText(env("TOKEN")),
		Region:    env("REGION"),
		Namespace: env("NAMESPACE"),
		TLS: TLSConfig{
			CACert:     env("CACERT"),
			CAPath:     env("CAPATH"),
			ClientCert: env("CLIENT_CERT"),
			ClientKey:  env("CLIENT_KEY"),
			ServerName: env("TLS_SERVER_NAME"),
		},
	}
	if v := env("SKIP_VERIFY"); v != "" {
		skip, err := strconv.ParseBool(v)
		if err != nil {
			return c, fmt.Errorf("NOMAD_SKIP_VERIFY: %q is not a bool", v)
		}
		c.TLS.Insecure = skip
	}
	return c, nil
}

// base returns the URL that paths are added to.
func (c Config) base() (*url.URL, error) {
	if path, ok := strings.CutPrefix(c.Address, "unix://"); ok {
		if path == "" {
			return nil, fmt.Errorf("address %q: no path of a socket", c.Address)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, nil
	}
	u, err := url.Parse(c.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("address %q: must be a URL with http, https or unix", c.Address)
	}
	return u, nil
}

// dial returns a transport to Address.
func (c Config) dial() (http.RoundTripper, error) {
	tlsConfig, err := c.TLS.load()
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	rt := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         d.DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     50 * time.Second, // below the server's
	}
	if path, ok := strings.CutPrefix(c.Address, "unix://"); ok {
		rt.Proxy = nil
		rt.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}
	}
	return rt, nil
}

// load reads the files.
func (t TLSConfig) load() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.Insecure} // only if asked for
	if (t.ClientCert == "") != (t.ClientKey == "") {
		return nil, fmt.Errorf("client certificate: both it and its key must be set")
	}
	if t.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	files, err := t.authorities()
	if err != nil || len(files) == 0 {
		return c, err
	}
	c.RootCAs = x509.NewCertPool()
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("certificates to trust: %w", err)
		}
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificates to trust: %s holds none", name)
		}
	}
	return c, nil
}

// authorities lists the files of certificates to trust.
func (t TLSConfig) authorities() ([]string, error) {
	var files []string
	if t.CACert != "" {
		files = append(files, t.CACert)
	}
	if t.CAPath == "" {
		return files, nil
	}
	entries, err := os.ReadDir(t.CAPath)
	if err != nil {
		return nil, fmt.Errorf("certificates to trust: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			files = append(files, t.CAPath+"/"+e.Name())
		}
	}
	return files, nil
}
