package cli

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

func tlsCACreateCommand() command {
	return command{
		words: "tls ca create", summary: "Make a certificate authority by hand",
		help: `  It writes DOMAIN-agent-ca.pem and its key DOMAIN-agent-ca-key.pem into the working directory, and overwrites
  nothing. Agents that are to take its certificates name it in tls { ca_file }. Clusters that "nomadish init" makes
  have an authority of their own, which needs none of this.`,
		example: "  nomadish tls ca create -days 1825", run: runTLSCACreate,
	}
}

func runTLSCACreate(_ context.Context, c *call) error {
	var subject pkix.Name
	var domains many
	f := c.flags
	f.Var(&domains, "additional-domain", "`domain` that certificates may name besides, with -name-constraint; may be repeated")
	f.StringVar(&subject.CommonName, "common-name", "", "common name; default Nomad Agent CA")
	days := f.Int("days", 1825, "how long it is good")
	domain := f.String("domain", "nomad", "domain of the cluster, in the files' names and for -name-constraint")
	constrained := f.Bool("name-constraint", false, "its certificates may name only localhost and the domains that are given")
	fields := map[string]*[]string{
		"country": &subject.Country, "locality": &subject.Locality, "organization": &subject.Organization, "organizational-unit": &subject.OrganizationalUnit,
		"postal-code": &subject.PostalCode, "province": &subject.Province, "street-address": &subject.StreetAddress,
	}
	for name, field := range fields {
		f.Var((*many)(field), name, strings.ReplaceAll(name, "-", " ")+" of the subject")
	}
	if err := c.parse(0, 0); err != nil {
		return err
	}
	if *days <= 0 {
		return c.misused("-days: must be above 0")
	}
	if len(domains) > 0 && !*constrained {
		return c.misused("-additional-domain: only with -name-constraint")
	}
	if subject.CommonName == "" {
		subject.CommonName = "Nomad Agent CA"
	}
	cfg := certificate.AuthorityConfig{Subject: subject, TTL: time.Duration(*days) * 24 * time.Hour}
	if *constrained {
		cfg.Permitted = append([]string{*domain, "localhost"}, domains...)
		if *domain != "nomad" {
			cfg.Permitted = append(cfg.Permitted, "nomad") // agents know each other by such names
		}
	}
	authority, err := certificate.NewAuthority(cfg)
	if err != nil {
		return err
	}
	der, err := authority.Key()
	if err != nil {
		return err
	}
	key, err := certificate.ParseKey(der)
	if err != nil {
		return err
	}
	private, err := certificate.EncodeKey(key)
	if err != nil {
		return err
	}
	return c.writePair("CA certificate", *domain+"-agent-ca", certificate.EncodePEM(authority.Certificate), private)
}

// writePair writes a certificate and its key, neither of which may be there.
func (c *call) writePair(what, name string, cert, key []byte) error {
	certFile, keyFile := name+".pem", name+"-key.pem"
	for _, path := range []string{certFile, keyFile} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already, and is not overwritten: move it away, or work in another directory", path)
		}
	}
	for _, f := range []struct {
		path    string
		content []byte
		mode    os.FileMode
	}{{keyFile, key, 0o600}, {certFile, cert, 0o644}} {
		file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return err
		}
		_, err = file.Write(f.content)
		if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.Stdout, "==> %s saved to: %s\n==> %s key saved to: %s\n", what, certFile, what, keyFile)
	return nil
}

func tlsCertCreateCommand() command {
	return command{
		words: "tls cert create", summary: "Make a certificate of an authority made by hand",
		help: `  One of -server, -client and -cli says who is to have it. It writes REGION-ROLE-DOMAIN.pem and its key
  REGION-ROLE-DOMAIN-key.pem into the working directory, and overwrites nothing.`,
		example: `  nomadish tls cert create -server -region eu
  nomadish tls cert create -cli`,
		run: runTLSCertCreate,
	}
}

// certFlags are the flags of tls cert create.
type certFlags struct {
	server, client, cli bool
	ca, key             string
	region, domain      string
	days                int
	hosts, addrs        many
}

func (f *certFlags) register(c *call) {
	c.flags.BoolVar(&f.server, "server", false, "for a server")
	c.flags.BoolVar(&f.client, "client", false, "for a client node")
	c.flags.BoolVar(&f.cli, "cli", false, "for who uses the command line, where agents have verify_https_client set")
	c.flags.StringVar(&f.ca, "ca", "", "`file` with the authority's certificate; default DOMAIN-agent-ca.pem")
	c.flags.StringVar(&f.key, "key", "", "`file` with the authority's key; default DOMAIN-agent-ca-key.pem")
	c.flags.StringVar(&f.region, "region", nomadish.DefaultRegion, "region of the agent")
	c.flags.StringVar(&f.region, "cluster-region", nomadish.DefaultRegion, "the same as -region")
	c.flags.StringVar(&f.domain, "domain", "nomad", "domain of the cluster")
	c.flags.IntVar(&f.days, "days", 365, "how long it is good")
	c.flags.Var(&f.hosts, "additional-dnsname", "another DNS `name`; may be repeated")
	c.flags.Var(&f.addrs, "additional-ipaddress", "another IP `address`; may be repeated")
}

// role is who the certificate is for.
func (f *certFlags) role() (string, bool) {
	role, n := "", 0
	for name, on := range map[string]bool{"server": f.server, "client": f.client, "cli": f.cli} {
		if on {
			role = name
			n++
		}
	}
	return role, n == 1
}

// order says what is to be signed.
func (f *certFlags) order(role string) (certificate.Order, error) {
	o := certificate.Order{TTL: time.Duration(f.days) * 24 * time.Hour, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
	if err := certificate.CheckRegion(f.region); err != nil {
		return o, fmt.Errorf("-region: %w", err)
	}
	own := role + "." + f.region + "." + f.domain
	if role != "cli" {
		o.Identity = certificate.Identity{Role: certificate.Role(role), Region: f.region}
	}
	if role == "cli" || f.domain != "nomad" {
		o.Hosts = append(o.Hosts, own)
	}
	o.Hosts = append(append(o.Hosts, "localhost"), f.hosts...)
	for _, text := range f.addrs {
		ip := net.ParseIP(text)
		if ip == nil {
			return o, fmt.Errorf("-additional-ipaddress: %q is no IP address", text)
		}
		o.IPs = append(o.IPs, ip)
	}
	return o, nil
}

func runTLSCertCreate(_ context.Context, c *call) error {
	f := &certFlags{}
	f.register(c)
	if err := c.parse(0, 0); err != nil {
		return err
	}
	role, ok := f.role()
	if !ok {
		return c.misused("one of -server, -client and -cli must be given")
	}
	if f.days <= 0 {
		return c.misused("-days: must be above 0")
	}
	order, err := f.order(role)
	if err != nil {
		return c.misused("%w", err)
	}
	if f.ca == "" {
		f.ca = f.domain + "-agent-ca.pem"
	}
	if f.key == "" {
		f.key = f.domain + "-agent-ca-key.pem"
	}
	authority, err := readAuthority(f.ca, f.key)
	if err != nil {
		return err
	}
	key, err := certificate.NewKey()
	if err != nil {
		return err
	}
	order.Key = key.Public()
	signed, err := authority.Issue(order)
	if err != nil {
		return err
	}
	private, err := certificate.EncodeKey(key)
	if err != nil {
		return err
	}
	what := map[string]string{"server": "Server Certificate", "client": "Client Certificate", "cli": "Cli Certificate"}[role]
	return c.writePair(what, f.region+"-"+role+"-"+f.domain, certificate.EncodePEM(signed), private)
}

func readAuthority(certFile, keyFile string) (*certificate.Authority, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w: \"nomadish tls ca create\" makes one", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	defer clear(key)
	authority, err := certificate.ParseAuthority(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
	}
	return authority, nil
}
