package agent_test

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loopback is the name of this machine's loopback interface.
func loopback(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err == nil && i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 && len(addrs) > 0 {
			return i.Name
		}
	}
	t.Skip("this machine has no loopback interface")
	return ""
}

// Addresses can be templates of what this machine has.
func TestAddressTemplates(t *testing.T) {
	lo := loopback(t)
	const v4 = `{{ GetAllInterfaces | include \"flags\" \"loopback\" | include \"type\" \"IPv4\" | limit 1 | attr \"address\" }}`
	for _, tt := range []struct {
		name, text string
		want       []string // where HTTP and peers are to be reached, and what is told of it
		fails      string   // part of the error; empty: there is none
	}{
		{name: "bind_addr", text: `bind_addr = "` + v4 + `"`, want: []string{"127.0.0.1:4646", "127.0.0.1:4647", ""}},
		{
			name: "one of several", text: `addresses { http = "127.0.0.2 ` + v4 + `" }`,
			want: []string{"127.0.0.2:4646", "127.0.0.1:4646", "0.0.0.0:4647", ""},
		},
		{
			name: "rpc and advertise", text: `addresses { rpc = "` + v4 + `" }` + "\n" + `advertise { http = "` + v4 + `:8080" }`,
			want: []string{"0.0.0.0:4646", "127.0.0.1:4647", "127.0.0.1:8080"},
		},
		{
			name: "no template", text: `bind_addr = "10.0.0.1"`,
			want: []string{"10.0.0.1:4646", "10.0.0.1:4647", ""},
		},
		{name: "no such interface", text: `bind_addr = "{{ GetInterfaceIP \"none0\" }}"`, fails: "bind_addr: "},
		{name: "no template after all", text: `advertise { http = "{{ GetIt }}" }`, fails: "advertise.http: "},
		{name: "several where one is wanted", text: `addresses { rpc = "127.0.0.1 ` + v4 + `" }`, fails: "there must be one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, _, err := load(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := file.Config()
			if (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Fatalf("error %v, want %q in it", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, append(cfg.HTTP, cfg.RPC, cfg.Advertise)); tt.fails == "" && diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
	file, _, err := load(t, `client {
  enabled           = true
  network_interface = "{{ GetAllInterfaces | include \"flags\" \"loopback\" | limit 1 | attr \"name\" }}"
}`)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := file.Config()
	if err != nil || cfg.Client.Fingerprint.NetworkInterface != lo {
		t.Errorf("network_interface: %+v, %v; want %s", cfg.Client, err, lo)
	}
}
