package alloc

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// fakeNetworks has one network, and notes what is asked of it.
type fakeNetworks struct {
	asked    []network.Request
	released []string
	status   network.Status
	err      error
}

func (f *fakeNetworks) Setup(_ context.Context, req network.Request) (*network.Status, error) {
	f.asked = append(f.asked, req)
	st := f.status
	return &st, f.err
}

func (f *fakeNetworks) Release(_ context.Context, id string) error {
	f.released = append(f.released, id)
	return nil
}

func networkRunner(t *testing.T, nets Networks, mode string, known map[string]*localstate.Task) *Runner {
	t.Helper()
	job := nomadish.NewJob("shop", nomadish.JobTypeService, &nomadish.Task{Name: "web", Driver: "none"})
	group := job.TaskGroups[0]
	group.Networks = []*nomadish.NetworkResource{{
		Mode: mode, Hostname: "${NOMAD_JOB_ID}-${NOMAD_ALLOC_INDEX}", DNS: &nomadish.DNSConfig{Servers: []string{"${attr.dns}"}},
	}}
	a := &nomadish.Allocation{
		ID: "a1", Name: "shop.shop[3]", JobID: "shop", TaskGroup: nomadish.Val(group.Name), Job: job,
		AllocatedResources: &nomadish.AllocatedResources{Shared: nomadish.AllocatedSharedResources{
			Ports: []nomadish.PortMapping{{Label: "http", Value: 20001, To: 80, HostIP: "10.0.0.1"}},
		}},
	}
	node := &nomadish.Node{Attributes: map[string]string{"dns": "192.0.2.53"}}
	r, err := New(Config{Node: node, Alloc: a, Networks: nets, Region: "global"}, nil, known)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A group's network is asked for with what the scheduler granted and the job says, replaced;
// what it got is reported, and freed.
func TestGroupNetwork(t *testing.T) {
	nets := &fakeNetworks{status: network.Status{
		Interface: "eth0", Address: "172.26.64.2", Address6: "fd00::2", Network: drivers.Network{Namespace: "/run/ns"},
		DNS: &nomadish.DNSConfig{Servers: []string{"192.0.2.53"}}, Notices: []string{"careful"}, Renewed: true,
	}}
	r := networkRunner(t, nets, "bridge", nil)
	got, err := r.groupNetwork(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	status := nomadish.AllocNetworkStatus{InterfaceName: "eth0", Address: "172.26.64.2", AddressIPv6: "fd00::2", DNS: nets.status.DNS}
	want := &task.GroupNetwork{Mode: "bridge", Network: nets.status.Network, Status: status, Notices: []string{"careful"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("network (-want +got): %s", d)
	}
	if d := cmp.Diff(&status, r.Report().NetworkStatus); d != "" {
		t.Errorf("report (-want +got): %s", d)
	}
	asked := []network.Request{{
		ID: "a1", Mode: "bridge", Hostname: "shop-3", DNS: &nomadish.DNSConfig{Servers: []string{"192.0.2.53"}, Searches: []string{}, Options: []string{}},
		Ports: []drivers.Port{{Label: "http", Host: 20001, To: 80, HostIP: "10.0.0.1"}},
	}}
	if d := cmp.Diff(asked, nets.asked); d != "" {
		t.Errorf("asked for (-want +got): %s", d)
	}
	if r.rewinding != "" {
		t.Error("a new allocation has nothing to start again")
	}
	if err := r.freeNetwork(t.Context()); err != nil || !cmp.Equal(nets.released, []string{"a1"}) {
		t.Errorf("released %v, %v", nets.released, err)
	}
}

// When the namespace of an earlier agent's allocation was lost, all tasks are started again,
// unless they have ended.
func TestLostGroupNetwork(t *testing.T) {
	for _, tt := range []struct {
		phase localstate.Phase
		want  bool
	}{{localstate.PhaseRunning, true}, {localstate.PhaseLaunching, true}, {localstate.PhaseDead, false}} {
		known := map[string]*localstate.Task{"web": {Phase: tt.phase, State: &nomadish.TaskState{}}}
		r := networkRunner(t, &fakeNetworks{status: network.Status{Renewed: true}}, "bridge", known)
		if _, err := r.groupNetwork(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.rewinding != ""; got != tt.want {
			t.Errorf("%s: started again is %v, want %v", tt.phase, got, tt.want)
		}
		if got := r.UsesNetwork("a1") && r.UsesNetwork("a1/web"); got != tt.want || r.UsesNetwork("a2") {
			t.Errorf("%s: uses its network is %v, want %v", tt.phase, got, tt.want)
		}
	}
}

// A network that this node can't make fails the task for good; other errors pass. The
// host's needs nobody.
func TestGroupNetworkErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		nets    Networks
		mode    string
		fails   bool
		forGood bool
	}{
		{"host", nil, "host", false, false},
		{"none set", nil, "", false, false},
		{"no networks", nil, "bridge", true, true},
		{"unsupported", &fakeNetworks{err: network.ErrUnsupported}, "cni/x", true, true},
		{"passing", &fakeNetworks{err: drivers.Recoverable(errors.New("full"))}, "bridge", true, false},
	} {
		_, err := networkRunner(t, tt.nets, tt.mode, nil).groupNetwork(t.Context())
		invalid := (*task.InvalidError)(nil)
		if (err != nil) != tt.fails || errors.As(err, &invalid) != tt.forGood || drivers.IsRecoverable(err) != (tt.fails && !tt.forGood) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}
