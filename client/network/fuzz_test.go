//go:build linux

package network

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nomadish/nomadish/nomadish"
)

// What is read of any resolv.conf, and written for a namespace, reads the same again, and
// has no server that the namespace can't reach.
func FuzzResolv(f *testing.F) {
	for _, seed := range []string{
		"nameserver 192.0.2.1\nsearch a b\noptions ndots:2\n", "nameserver 127.0.0.53\n", "domain x\nsearch\n", "nameserver ::1\nnameserver fe80::1%eth0\n",
		"# c\n;d\nnameserver\t2001:db8::1 trailing\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "resolv.conf")
		read := func(data []byte) nomadish.DNSConfig {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readResolv(path)
			if err != nil {
				t.Skip(err) // a line that is too long
			}
			return got
		}
		first := read(data)
		text := resolvText(&first)
		if d := cmp.Diff(first, read([]byte(text)), cmpopts.EquateEmpty()); d != "" && len(text) < maxResolv {
			t.Errorf("read again (-first +again): %s", d)
		}
		for _, s := range first.Servers {
			if strings.HasPrefix(s, "127.") || s == "::1" {
				t.Errorf("server %s", s)
			}
		}
	})
}

// A CNI network that is taken has a name and the types of its plugins,
// whatever a file says.
func FuzzNetworkConfig(f *testing.F) {
	for _, seed := range []string{
		`{"name":"mine","type":"bridge"}`, `{"name":"mine","plugins":[{"type":"bridge"},{"type":"portmap"}]}`, `{"plugins":[{}]}`, `[]`, `{"name":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "net.conf")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := readNetwork(path)
		if err != nil {
			return
		}
		if n.name == "" || len(n.plugins) == 0 {
			t.Errorf("%q was taken as %+v", data, n)
		}
		for _, p := range n.plugins {
			if p == "" {
				t.Errorf("%q was taken with a plugin without a type", data)
			}
		}
	})
}
