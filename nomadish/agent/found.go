package agent

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server"
)

// Place says where a new agent is to keep its data, and how others reach it.
type Place struct {
	DataDir string // required
	Region  string // of a new cluster; default global
	Name    string // default: the host's name
	// Addrs are the addresses and names, besides those of the machine, under which the API is asked.
	Addrs []string
	TTL   time.Duration // of the first certificate of a new cluster; default 30 days
	Now   func() time.Time
}

func (p Place) withDefaults() (Place, error) {
	if p.DataDir == "" {
		return p, errors.New("data_dir: must be set")
	}
	if p.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return p, fmt.Errorf("the host's name: %w", err)
		}
		p.Name = name
	}
	p.Region = cmp.Or(p.Region, nomadish.DefaultRegion)
	p.TTL = cmp.Or(p.TTL, 30*24*time.Hour)
	if p.Now == nil {
		p.Now = time.Now
	}
	return p, certificate.CheckRegion(p.Region)
}

// Found makes what the first server of a new cluster needs: the cluster's certificate authority, which the
// server takes into its state when it runs, and the server's own certificate. Where they are
// there already it changes nothing and returns false.
func Found(p Place) (made bool, err error) {
	p, err = p.withDefaults()
	if err != nil {
		return false, err
	}
	lock, err := lockDir(p.DataDir)
	if err != nil {
		return false, err
	}
	defer lock.release()
	files := Certificates(p.DataDir)
	if _, err := os.Stat(files.Agent()); err == nil {
		return false, nil
	}
	authority, err := files.Seed() // of an attempt that did not come to its end
	if err != nil {
		return false, err
	}
	if authority == nil {
		if authority, err = certificate.NewAuthority(certificate.AuthorityConfig{Now: p.Now()}); err != nil {
			return false, err
		}
		if err := files.WriteSeed(authority); err != nil {
			return false, err
		}
	}
	id, err := serverIn(p.DataDir)
	if err != nil {
		return false, err
	}
	key, err := certificate.NewKey()
	if err != nil {
		return false, err
	}
	order := certificate.Order{
		Identity: certificate.Identity{Role: certificate.Server, Region: p.Region, ID: id}, Key: key.Public(), TTL: p.TTL, Now: p.Now(),
	}
	order.Hosts, order.IPs = hostNames(p.Name, p.Addrs)
	own, err := authority.Issue(order)
	if err != nil {
		return false, err
	}
	if err := files.WriteAuthorities(authority.Certificate); err != nil {
		return false, err
	}
	return true, files.WriteAgent(key, own, authority.Certificate)
}

// Enter asks the servers of a cluster for a machine's first certificate, with a join token. It
// writes what the agent needs to its data directory; how it is to be configured is in the answer. An
// agent that has been one before keeps its ID.
func Enter(ctx context.Context, p Place, token nomadish.SecretText, servers []string) (*nomadish.EnrollResponse, certificate.Identity, error) {
	var who certificate.Identity
	p, err := p.withDefaults()
	if err != nil {
		return nil, who, err
	}
	ticket, err := certificate.ParseTicket(token)
	if err != nil {
		return nil, who, err
	}
	lock, err := lockDir(p.DataDir)
	if err != nil {
		return nil, who, err
	}
	defer lock.release()
	who.Role = ticket.Role
	req := &nomadish.EnrollRequest{Token: token, Role: string(ticket.Role), Name: p.Name}
	if who.Role == certificate.Server {
		who.ID, err = serverIn(p.DataDir)
	} else {
		who.ID, req.Secret, err = client.Identity(p.DataDir)
	}
	if err != nil {
		return nil, who, err
	}
	req.ID = who.ID
	key, err := certificate.NewKey()
	if err != nil {
		return nil, who, err
	}
	hosts, ips := hostNames(p.Name, p.Addrs)
	if req.Request, err = certificate.NewRequest(key, hosts, ips); err != nil {
		return nil, who, err
	}
	resp, err := askAll(ctx, servers, ticket.Authority, req)
	if err != nil {
		return nil, who, err
	}
	who.Region = resp.Region
	chain, err := certificate.Chain(resp.Certificate, resp.Authorities, key.Public(), who)
	if err != nil {
		return nil, who, err
	}
	return resp, who, settle(p.DataDir, resp, func(files certificate.Files) error { return files.WriteAgent(key, chain...) })
}

// askAll asks one server after the other. One that lets nobody in with this token speaks for all.
func askAll(ctx context.Context, servers []string, authority [32]byte, req *nomadish.EnrollRequest) (*nomadish.EnrollResponse, error) {
	if len(servers) == 0 {
		return nil, errors.New("there must be the address of a server to ask")
	}
	var errs []error
	for _, addr := range servers {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			addr = withPort(addr, DefaultRPCPort)
		}
		resp, err := transport.AskJoin(ctx, addr, authority, req)
		if err == nil {
			return resp, nil
		}
		if kind := nomadish.KindOf(err); kind == nomadish.KindDenied || kind == nomadish.KindInvalid {
			return nil, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// settle writes what a new agent was given. Its certificate comes last: with it the agent is
// complete.
func settle(dataDir string, resp *nomadish.EnrollResponse, write func(certificate.Files) error) error {
	authorities, err := parseAll(resp.Authorities)
	if err != nil {
		return err
	}
	if resp.WrappingKey != "" {
		if err := keepWrappingKey(dataDir, resp.WrappingKey); err != nil {
			return err
		}
	}
	files := Certificates(dataDir)
	if err := files.WriteAuthorities(authorities...); err != nil {
		return err
	}
	return write(files)
}

// keepWrappingKey stores the key that wraps the root keys, where another server keeps it.
func keepWrappingKey(dataDir string, key nomadish.SecretText) error {
	path := wrappingKey(dataDir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("wrapping key: %w", err)
	}
	text := []byte(key.Reveal() + "\n")
	defer clear(text)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		there, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("wrapping key: %w", err)
		}
		defer clear(there)
		if string(there) != string(text) {
			return fmt.Errorf("wrapping key: %s is the key of another cluster: move the data directory away", path)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("wrapping key: %w", err)
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("wrapping key: %w", err)
	}
	return nil
}

// Certified returns the certificate with which the agent of a data directory joined its
// cluster, and the fingerprints of the authorities that it trusts; nil when it has none.
func Certified(dataDir string) (own *x509.Certificate, authorities []string, err error) {
	files := Certificates(dataDir)
	text, err := os.ReadFile(files.Agent())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer clear(text)
	chain, err := certificate.ParsePEM(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", files.Agent(), err)
	}
	if text, err = os.ReadFile(files.Authorities()); err != nil {
		return nil, nil, err
	}
	all, err := certificate.ParsePEM(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", files.Authorities(), err)
	}
	for _, a := range all {
		authorities = append(authorities, certificate.Fingerprint(a))
	}
	return chain[0], authorities, nil
}

// serverIn returns the ID of the server that keeps its data in a directory, and makes one where
// there is none.
func serverIn(dataDir string) (string, error) {
	return serverID(Config{DataDir: dataDir, Server: &server.Config{}})
}

// OutwardAddress is where others reach this machine, as far as it can tell.
func OutwardAddress() string { return outwardAddress() }

// Holds says whether the agent whose data is in a directory is the one that a certificate is for.
func Holds(dataDir string, who certificate.Identity) (bool, error) {
	var id string
	var err error
	if who.Role == certificate.Server {
		id, err = serverIn(dataDir)
	} else {
		id, _, err = client.Identity(dataDir)
	}
	return id == who.ID, err
}
