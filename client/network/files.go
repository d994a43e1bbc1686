package network

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// maxResolv bounds a resolv.conf that is read.
const maxResolv = 64 << 10

// resolvers are the files that know the host's name servers. The second is that of
// systemd-resolved with the servers behind it, for hosts whose first one names only a
// resolver on loopback, which no other namespace reaches.
var resolvers = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// dnsOf returns what a namespace's resolv.conf says: what the request sets, and for the rest
// what CNI plugins returned or the host's.
func dnsOf(want *nomadish.DNSConfig, given nomadish.DNSConfig, files []string) (*nomadish.DNSConfig, error) {
	var out nomadish.DNSConfig
	if want != nil {
		out = nomadish.DNSConfig{
			Servers: slices.Clone(want.Servers), Searches: slices.Clone(want.Searches), Options: slices.Clone(want.Options),
		}
	}
	fill := func(from nomadish.DNSConfig) {
		if len(out.Servers) == 0 {
			out.Servers = from.Servers
		}
		if len(out.Searches) == 0 {
			out.Searches = from.Searches
		}
		if len(out.Options) == 0 {
			out.Options = from.Options
		}
	}
	fill(given)
	for _, path := range files {
		host, err := readResolv(path)
		if err != nil {
			return nil, err
		}
		fill(host)
	}
	return &out, nil
}

// readResolv reads a resolv.conf without the servers that only its own host reaches. A file
// that is not there says nothing.
func readResolv(path string) (nomadish.DNSConfig, error) {
	var out nomadish.DNSConfig
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxResolv))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			addr, err := netip.ParseAddr(fields[1])
			if err == nil && !addr.IsLoopback() {
				out.Servers = append(out.Servers, fields[1])
			}
		case "search", "domain":
			out.Searches = fields[1:]
		case "options":
			out.Options = append(out.Options, fields[1:]...)
		}
	}
	return out, lines.Err()
}

func resolvText(dns *nomadish.DNSConfig) string {
	var b strings.Builder
	for _, s := range dns.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(dns.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(dns.Searches, " "))
	}
	if len(dns.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(dns.Options, " "))
	}
	return b.String()
}

// hostsText is /etc/hosts of a namespace.
func hostsText(hostname string, addresses, extra []string) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, a := range addresses {
		if a != "" {
			fmt.Fprintf(&b, "%s\t%s\n", a, hostname)
		}
	}
	for _, line := range extra {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// writeFiles makes the files of a lease and returns its status.
func (s store) writeFiles(l *lease, files []string) (*Status, error) {
	st := &Status{}
	r := &l.Request
	var given nomadish.DNSConfig
	switch {
	case l.CNI != nil:
		st.Interface, st.Address, st.Address6, given = l.CNI.Interface, l.CNI.Address, l.CNI.Address6, l.CNI.DNS
	case l.Address.IsValid():
		st.Interface, st.Address, st.Network.Gateway = inner, l.Address.String(), l.Gateway.String()
		if l.Address6.IsValid() {
			st.Address6 = l.Address6.String()
		}
	default:
		files = nil // a namespace that leads nowhere has no use for the host's servers
	}
	var err error
	if st.DNS, err = dnsOf(r.DNS, given, files); err != nil {
		return nil, err
	}
	st.Network.Hostname = hostname(r)
	st.Network.Ports = slices.Clone(r.Ports)
	for name, file := range map[string]struct {
		path *string
		text string
	}{
		hostsFile:  {&st.Network.Hosts, hostsText(st.Network.Hostname, []string{st.Address, st.Address6}, r.ExtraHosts)},
		resolvFile: {&st.Network.Resolv, resolvText(st.DNS)},
	} {
		*file.path = filepath.Join(s.path(r.ID), name)
		if err := writeFile(*file.path, []byte(file.text), 0o644); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// inner is the interface's name inside a namespace.
const inner = "eth0"

// hostname is the name that the request sets, or the beginning of its allocation's ID.
func hostname(r *Request) string {
	if r.Hostname != "" {
		return r.Hostname
	}
	id, _, _ := strings.Cut(r.ID, "/")
	return id[:min(12, len(id))]
}
