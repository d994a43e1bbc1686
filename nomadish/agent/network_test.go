package agent_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// What a file says of networks reaches the client; what makes no sense is refused by name.
func TestNetworkKeys(t *testing.T) {
	file, warnings, err := load(t, `
data_dir = "/tmp/x"
client {
  enabled                     = true
  bridge_network_name         = "tasks"
  bridge_network_subnet       = "10.9.0.0/16"
  bridge_network_subnet_ipv6  = "fd00:1::/64"
  bridge_network_hairpin_mode = false
  cni_path                    = "/opt/a:/opt/b"
  cni_config_dir              = "/etc/cni"
  host_network "public" {
    cidr           = "203.0.113.0/24"
    reserved_ports = "22"
  }
  host_network "private" { interface = "eth1" }
}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "bridge_network_hairpin_mode") {
		t.Errorf("warnings %q, want one of hairpin mode, which is always on", warnings)
	}
	cfg, err := file.Config()
	if err != nil {
		t.Fatal(err)
	}
	n := cfg.Client.Network
	if n == nil || n.Subnet != netip.MustParsePrefix("10.9.0.0/16") || n.Subnet6 != netip.MustParsePrefix("fd00:1::/64") ||
		n.CNIConfigDir != "/etc/cni" || cfg.Client.BridgeName != "tasks" {
		t.Errorf("got %+v and the name %q", n, cfg.Client.BridgeName)
	}
	if d := cmp.Diff([]string{"/opt/a", "/opt/b"}, n.CNIPath); d != "" {
		t.Errorf("cni_path: %s", d)
	}
	want := map[string]*nomadish.HostNetworkInfo{
		"public":  {Name: "public", CIDR: "203.0.113.0/24", ReservedPorts: "22"},
		"private": {Name: "private", Interface: "eth1"},
	}
	if d := cmp.Diff(want, cfg.Client.Fingerprint.HostNetworks); d != "" {
		t.Errorf("host networks: %s", d)
	}

	file, _, err = load(t, `
data_dir = "/tmp/x"
client {
  enabled               = true
  bridge_network_subnet = "10.9.0.0"
  host_network "public" {}
}`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Config()
	for _, want := range []string{"client.bridge_network_subnet", `client.host_network "public"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a fault of %s", err, want)
		}
	}
}
