package hooks

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// inGroup puts the setup's group into a bridge network.
func inGroup(s *task.Setup, notices ...string) {
	s.GroupNetwork = func(context.Context) (*task.GroupNetwork, error) {
		return &task.GroupNetwork{
			Mode: "bridge", Network: drivers.Network{Namespace: "/run/ns"}, Notices: notices,
			Status: nomadish.AllocNetworkStatus{InterfaceName: "eth0", Address: "172.26.64.2"},
		}, nil
	}
}

// A task joins its group's namespace if its driver can, sees its ports there, and users
// are told what may be in the way; a driver that can't join is refused.
func TestGroupNetwork(t *testing.T) {
	s := newSetup(t)
	s.Capabilities.NetworkModes = []string{"host", "bridge"}
	var said []string
	s.Emit = func(e *nomadish.TaskEvent) { said = append(said, e.DisplayMessage) }
	inGroup(s, "packets are dropped")
	if err := prepare(t, s); err != nil {
		t.Fatal(err)
	}
	if s.Spec.Network == nil || s.Spec.Network.Namespace != "/run/ns" {
		t.Errorf("network: got %+v", s.Spec.Network)
	}
	wantPorts := []drivers.Port{{Label: "http", Host: 20001, To: 80, HostIP: "10.0.0.1"}, {Label: "ad-min", Host: 20002, HostIP: "10.0.0.1"}}
	if d := cmp.Diff(wantPorts, s.Spec.Ports); d != "" {
		t.Errorf("ports: %s", d)
	}
	if d := cmp.Diff([]string{"network: packets are dropped"}, said); d != "" {
		t.Errorf("said: %s", d)
	}
	checkEnv(t, s, map[string]string{
		"NOMAD_IP_http": "10.0.0.1", "NOMAD_PORT_http": "80", "NOMAD_ADDR_http": "10.0.0.1:20001",
		"NOMAD_HOST_IP_http": "10.0.0.1", "NOMAD_HOST_PORT_http": "20001", "NOMAD_HOST_ADDR_http": "10.0.0.1:20001",
		"NOMAD_ALLOC_IP_http": "172.26.64.2", "NOMAD_ALLOC_PORT_http": "80", "NOMAD_ALLOC_ADDR_http": "172.26.64.2:80",
		"NOMAD_ALLOC_INTERFACE_http": "eth0", "NOMAD_PORT_ad_min": "20002",
	})

	refused := newSetup(t)
	inGroup(refused)
	err := prepare(t, refused)
	if invalid := (*task.InvalidError)(nil); !errors.As(err, &invalid) || !strings.Contains(err.Error(), `can't join a network of mode "bridge"`) {
		t.Errorf("a driver that knows only the host's network: got %v", err)
	}
}

func checkEnv(t *testing.T, s *task.Setup, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for name := range want {
		got[name] = s.Spec.Env[name]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("environment (-want +got): %s", d)
	}
}

func TestJoins(t *testing.T) {
	for _, tt := range []struct {
		modes []string
		mode  string
		want  bool
	}{
		{nil, "bridge", false},
		{[]string{"host", "bridge"}, "bridge", true},
		{[]string{"bridge"}, "none", false},
		{[]string{"cni/*"}, "cni/mine", true},
		{[]string{"cni/mine"}, "cni/mine2", false},
	} {
		if got := joins(tt.modes, tt.mode); got != tt.want {
			t.Errorf("%v and %s: got %v, want %v", tt.modes, tt.mode, got, tt.want)
		}
	}
}

// networker is a driver whose tasks want a network of their own.
type networker struct {
	drivers.Driver
	want *drivers.NetworkRequest
}

func (n networker) TaskNetwork(*drivers.TaskSpec) (*drivers.NetworkRequest, error) {
	return n.want, nil
}

// fakeNetworks has one network, and notes what is asked of it.
type fakeNetworks struct {
	asked    []network.Request
	released []string
	status   network.Status
	err      error
}

func (f *fakeNetworks) Setup(_ context.Context, req network.Request) (*network.Status, error) {
	f.asked = append(f.asked, req)
	return &f.status, f.err
}

func (f *fakeNetworks) Restore(context.Context, string) (*network.Status, error) {
	return &f.status, f.err
}

func (f *fakeNetworks) Release(_ context.Context, id string) error {
	f.released = append(f.released, id)
	return nil
}

// A task whose driver asks for a network gets one of its own under its own ID, sees its
// mapped ports, and is started again when the namespace was lost while no agent looked.
func TestOwnNetwork(t *testing.T) {
	s := newSetup(t)
	ports := []drivers.Port{{Label: "http", Host: 20001, To: 80, HostIP: "10.0.0.1"}}
	s.Driver = networker{s.Driver, &drivers.NetworkRequest{Mode: "bridge", Ports: ports, Hostname: "h", Servers: []string{"1.1.1.1"}}}
	nets := &fakeNetworks{status: network.Status{Network: drivers.Network{Namespace: "/run/own"}}}
	h := ownNetwork{networks: nets}
	ctx := t.Context()
	if err := (environment{region: "global"}).Prepare(ctx, s); err != nil {
		t.Fatal(err)
	}
	checkEnv(t, s, map[string]string{"NOMAD_PORT_http": "80", "NOMAD_HOST_PORT_http": "20001", "NOMAD_ALLOC_IP_http": "10.0.0.1"})
	if err := h.Prepare(ctx, s); err != nil {
		t.Fatal(err)
	}
	id := s.Alloc.ID + "/web"
	want := []network.Request{{ID: id, Mode: "bridge", Ports: ports, Hostname: "h", DNS: &nomadish.DNSConfig{Servers: []string{"1.1.1.1"}}}}
	if d := cmp.Diff(want, nets.asked); d != "" {
		t.Errorf("asked for: %s", d)
	}
	if s.Spec.Network == nil || s.Spec.Network.Namespace != "/run/own" {
		t.Errorf("network: got %+v", s.Spec.Network)
	}
	restarts := 0
	s.Restart = func(string) { restarts++ }
	for _, renewed := range []bool{false, true} {
		s.Spec.Network, nets.status.Renewed = nil, renewed
		if err := h.Restore(ctx, s); err != nil || s.Spec.Network == nil {
			t.Errorf("restore: network %+v, error %v", s.Spec.Network, err)
		}
	}
	if restarts != 1 {
		t.Errorf("%d restarts, want one for the network that was lost", restarts)
	}
	if err := h.Release(ctx, s); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{id}, nets.released); d != "" {
		t.Errorf("released: %s", d)
	}
}

// The ports that a task hears of are those that its driver maps, as with port_map, whatever
// its job's networks say.
func TestPortsOfOwnNetwork(t *testing.T) {
	s := newSetup(t)
	s.Driver = networker{s.Driver, &drivers.NetworkRequest{Mode: "bridge", Ports: []drivers.Port{{Label: "http", Host: 20001, To: 8080}}}}
	if err := (environment{region: "global"}).Prepare(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	checkEnv(t, s, map[string]string{"NOMAD_PORT_http": "8080", "NOMAD_ALLOC_PORT_http": "8080", "NOMAD_HOST_PORT_http": "20001"})
}

// Without anything that makes networks, a task that needs one is refused for good; errors
// that may pass are told as such.
func TestOwnNetworkRefused(t *testing.T) {
	for _, tt := range []struct {
		name        string
		nets        Networks
		recoverable bool
	}{
		{"no networks", nil, false},
		{"unsupported", &fakeNetworks{err: network.ErrUnsupported}, false},
		{"full", &fakeNetworks{err: drivers.Recoverable(errors.New("full"))}, true},
	} {
		s := newSetup(t)
		s.Driver = networker{s.Driver, &drivers.NetworkRequest{Mode: "bridge"}}
		err := ownNetwork{networks: tt.nets}.Prepare(t.Context(), s)
		invalid := (*task.InvalidError)(nil)
		if err == nil || drivers.IsRecoverable(err) != tt.recoverable || errors.As(err, &invalid) == tt.recoverable {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// The dns block of a group without a namespace reaches its tasks: where the driver wants a
// network, in what its options leave open; else in the specification. Tasks that see the
// host's files are told that it has no effect.
func TestDNSWithoutNamespace(t *testing.T) {
	for _, tt := range []struct {
		name      string
		isolation drivers.Isolation
		driver    *drivers.NetworkRequest
		spec      *nomadish.DNSConfig
		network   *nomadish.DNSConfig
		said      int
	}{
		{"a container on the host's network", drivers.IsolationImage, nil, &nomadish.DNSConfig{Servers: []string{"10.1.0.1"}, Searches: []string{"a1.test"}}, nil, 0},
		{"a process of the host", drivers.IsolationNone, nil, &nomadish.DNSConfig{Servers: []string{"10.1.0.1"}, Searches: []string{"a1.test"}}, nil, 1},
		{"a network of the task's own", drivers.IsolationImage, &drivers.NetworkRequest{Mode: "bridge", Servers: []string{"1.1.1.1"}}, nil, &nomadish.DNSConfig{Servers: []string{"1.1.1.1"}, Searches: []string{"a1.test"}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSetup(t)
			s.Group.Networks = []*nomadish.NetworkResource{{Mode: "host", DNS: &nomadish.DNSConfig{Servers: []string{"10.1.0.1"}, Searches: []string{"${NOMAD_REGION}.test"}}}}
			s.Capabilities.Isolation = tt.isolation
			if tt.driver != nil {
				s.Driver = networker{s.Driver, tt.driver}
			}
			said := 0
			s.Emit = func(*nomadish.TaskEvent) { said++ }
			nets := &fakeNetworks{}
			if err := (ownNetwork{networks: nets, region: "a1"}).Prepare(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.spec, s.Spec.DNS); d != "" {
				t.Errorf("specification (-want +got): %s", d)
			}
			if tt.network != nil {
				if d := cmp.Diff(tt.network, nets.asked[0].DNS); d != "" {
					t.Errorf("network (-want +got): %s", d)
				}
			}
			if said != tt.said {
				t.Errorf("%d notices, want %d", said, tt.said)
			}
		})
	}
}
