// Package certificate is about the certificates by which agents know each other: what their
// names say of an agent, and making, signing, reading and writing them.
//
// A server of the region eu has a certificate for the name server.eu.nomad, a client node one
// for client.eu.nomad. Certificates of a cluster's own authority say by a URI besides which
// agent it is: nomadish://eu/server/ID.
//
//	ca, err := certificate.NewAuthority(certificate.AuthorityConfig{})
//	der, err := ca.Issue(certificate.Request{Key: key.Public(), Identity: certificate.Identity{Role: certificate.Server, Region: "eu", ID: id}})
package certificate

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Role is what an agent may be in a cluster.
type Role string

// The roles.
const (
	Server Role = "server"
	Client Role = "client"
)

// domain ends the names that say what an agent is.
const domain = ".nomad"

// scheme is that of the URIs that say which agent it is.
const scheme = "nomadish"

// Name is the DNS name of all agents of a role and region.
func (r Role) Name(region string) string { return string(r) + "." + region + domain }

// Identity is which agent a certificate is for.
type Identity struct {
	Role   Role
	Region string
	ID     string // empty in certificates that name roles alone
}

// URI names the agent.
func (i Identity) URI() *url.URL {
	return &url.URL{Scheme: scheme, Host: i.Region, Path: "/" + string(i.Role) + "/" + i.ID}
}

// Names is what the names in a certificate say of its holder.
type Names struct {
	Servers []string // regions that it may be a server of, sorted
	Clients []string // regions that it may be a client node of, sorted
	Agent   Identity // the one agent that it is for; zero: any of these
}

// maxNames bounds the names that are looked at.
const maxNames = 64

// ParseNames reads the names of a certificate. The common name counts for nothing, and so do
// names with wildcards. A URI of ours that can't be read is an error.
func ParseNames(c *x509.Certificate) (Names, error) {
	var n Names
	if len(c.DNSNames)+len(c.URIs) > maxNames {
		return n, fmt.Errorf("certificate: %d names, at most %d are looked at", len(c.DNSNames)+len(c.URIs), maxNames)
	}
	for _, name := range c.DNSNames {
		role, region, ok := parseName(name)
		switch {
		case !ok:
		case role == Server:
			n.Servers = append(n.Servers, region)
		case role == Client:
			n.Clients = append(n.Clients, region)
		}
	}
	for _, u := range c.URIs {
		if u.Scheme != scheme {
			continue
		}
		id, err := parseURI(u)
		if err != nil {
			return Names{}, err
		}
		if n.Agent != (Identity{}) {
			return Names{}, fmt.Errorf("certificate: it names two agents")
		}
		n.Agent = id
	}
	slices.Sort(n.Servers)
	slices.Sort(n.Clients)
	n.Servers, n.Clients = slices.Compact(n.Servers), slices.Compact(n.Clients)
	return n, nil
}

// parseName reads server.REGION.nomad or client.REGION.nomad.
func parseName(name string) (role Role, region string, ok bool) {
	name, ok = strings.CutSuffix(strings.ToLower(name), domain)
	if !ok {
		return "", "", false
	}
	before, region, ok := strings.Cut(name, ".")
	role = Role(before)
	return role, region, ok && (role == Server || role == Client) && CheckRegion(region) == nil
}

func parseURI(u *url.URL) (Identity, error) {
	role, id, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	i := Identity{Role: Role(role), Region: u.Host, ID: id}
	if !ok || i.Role != Server && i.Role != Client || u.String() != i.URI().String() || i.check() != nil {
		return Identity{}, fmt.Errorf("certificate: %.200q names no agent", u.String())
	}
	return i, nil
}

func (i Identity) check() error {
	if err := CheckRegion(i.Region); err != nil {
		return err
	}
	if i.Role != Server && i.Role != Client {
		return nomadish.Errorf(nomadish.KindInvalid, "role %.40q is neither %s nor %s", string(i.Role), Server, Client)
	}
	if i.ID == "" {
		return nil
	}
	if _, err := nomadish.ParseID(i.ID); err != nil {
		return nomadish.Errorf(nomadish.KindInvalid, "an agent's ID: %w", err)
	}
	return nil
}

// CheckRegion says why a region can't be named in a certificate.
func CheckRegion(region string) error {
	ok := region != "" && len(region) <= 63
	for _, c := range []byte(region) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	if !ok || region[0] == '.' || region[len(region)-1] == '.' {
		return nomadish.Errorf(nomadish.KindInvalid, "region %.80q can't be in a certificate: it is to be letters, digits, dashes, underscores and dots, at most 63", region)
	}
	return nil
}

// Unnamed says that the certificate is for no role.
func (n Names) Unnamed() bool {
	return len(n.Servers) == 0 && len(n.Clients) == 0 && n.Agent == (Identity{})
}

// Check says why the holder can't be that agent. A server may be a client node of its region,
// too, unless the certificate is for one agent. An empty ID is that of any agent.
func (n Names) Check(i Identity) error {
	region := strings.ToLower(i.Region)
	is := slices.Contains(n.Servers, region)
	if i.Role == Client {
		is = is || slices.Contains(n.Clients, region)
	}
	if !is {
		return nomadish.Errorf(nomadish.KindDenied, "the certificate is not for %s", i.Role.Name(i.Region))
	}
	a := n.Agent
	if a == (Identity{}) {
		return nil
	}
	if a.Role != i.Role || !strings.EqualFold(a.Region, i.Region) || i.ID != "" && a.ID != i.ID {
		return nomadish.Errorf(nomadish.KindDenied, "the certificate is for %s", a.URI())
	}
	return nil
}
