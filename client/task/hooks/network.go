package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Networks makes network namespaces for tasks of their own.
type Networks interface {
	Setup(ctx context.Context, req network.Request) (*network.Status, error)
	Restore(ctx context.Context, id string) (*network.Status, error)
	Release(ctx context.Context, id string) error
}

// lostNetwork is why a task is started again that had a network namespace which is gone.
const lostNetwork = "its network namespace was lost"

// groupNetwork puts the task into the network namespace of its group.
type groupNetwork struct{}

func (groupNetwork) Name() string { return "network" }

func (groupNetwork) Prepare(ctx context.Context, s *task.Setup) error {
	s.Spec.Ports = GrantedPorts(s.Alloc.AllocatedResources, s.Task.Name)
	n, err := joinGroup(ctx, s)
	if err != nil || n == nil {
		return err
	}
	if !joins(s.Capabilities.NetworkModes, n.Mode) {
		return &task.InvalidError{Err: fmt.Errorf("tasks of driver %q can't join a network of mode %q", s.Task.Driver, n.Mode)}
	}
	for _, notice := range n.Notices {
		s.Emit(task.MessageEvent("network: " + notice))
	}
	return nil
}

// Restore makes sure that the namespace is right, and lets others see it.
func (groupNetwork) Restore(ctx context.Context, s *task.Setup) error {
	_, err := joinGroup(ctx, s)
	return err
}

func joinGroup(ctx context.Context, s *task.Setup) (*task.GroupNetwork, error) {
	n, err := groupOf(ctx, s)
	if err != nil || n == nil {
		return nil, err
	}
	joined := n.Network
	s.Spec.Network = &joined
	return n, nil
}

func groupOf(ctx context.Context, s *task.Setup) (*task.GroupNetwork, error) {
	if s.GroupNetwork == nil {
		return nil, nil
	}
	return s.GroupNetwork(ctx)
}

// joins says that a driver's modes hold a network's.
func joins(modes []string, mode string) bool {
	return slices.ContainsFunc(modes, func(m string) bool {
		tree, all := strings.CutSuffix(m, "*")
		return m == mode || all && strings.HasPrefix(mode, tree)
	})
}

// GrantedPorts returns the ports that the scheduler gave the allocation, those of the
// task's own resources included.
func GrantedPorts(r *nomadish.AllocatedResources, taskName string) []drivers.Port {
	if r == nil {
		return nil
	}
	var out []drivers.Port
	for _, p := range r.Shared.Ports {
		out = append(out, drivers.Port{Label: p.Label, Host: p.Value, To: p.To, HostIP: p.HostIP})
	}
	if t := r.Tasks[taskName]; t != nil {
		for _, n := range t.Networks {
			for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
				out = append(out, drivers.Port{Label: p.Label, Host: p.Value, To: p.To, HostIP: n.IP})
			}
		}
	}
	return out
}

// ownNetwork makes a network namespace for the task alone where its driver asks for one and
// the group has none.
type ownNetwork struct {
	networks Networks
	region   string
}

func (ownNetwork) Name() string { return "task network" }

func (h ownNetwork) Prepare(ctx context.Context, s *task.Setup) error {
	want, err := wantedNetwork(s)
	if err != nil {
		return &task.InvalidError{Err: err}
	}
	dns := h.groupDNS(s)
	if want == nil {
		if dns != nil && s.Capabilities.Isolation == drivers.IsolationNone {
			s.Emit(task.MessageEvent(fmt.Sprintf("network.dns has no effect: tasks of driver %q see the host's /etc/resolv.conf", s.Task.Driver)))
		}
		s.Spec.DNS = dns
		return nil
	}
	if h.networks == nil {
		return &task.InvalidError{Err: errors.New("this node can't make network namespaces for tasks")}
	}
	st, err := h.networks.Setup(ctx, network.Request{
		ID: networkID(s), Mode: want.Mode, Ports: want.Ports, Hostname: want.Hostname, ExtraHosts: want.ExtraHosts,
		DNS: ownDNS(want, dns),
	})
	if errors.Is(err, network.ErrUnsupported) {
		return &task.InvalidError{Err: err}
	}
	if err != nil {
		return err
	}
	s.Spec.Network = &st.Network
	for _, notice := range st.Notices {
		s.Emit(task.MessageEvent("network: " + notice))
	}
	return nil
}

// groupDNS is what the group's dns block says, filled in, for a task that is not in a namespace
// of the group, which would know it already; nil: nothing.
func (h ownNetwork) groupDNS(s *task.Setup) *nomadish.DNSConfig {
	if s.Spec.Network != nil || len(s.Group.Networks) == 0 || s.Group.Networks[0].DNS == nil {
		return nil
	}
	text := GroupText(s.Node, s.Alloc, s.Group, h.region)
	fill := func(list []string) (out []string) {
		for _, word := range list {
			out = append(out, text(word))
		}
		return out
	}
	dns := s.Group.Networks[0].DNS
	return &nomadish.DNSConfig{Servers: fill(dns.Servers), Searches: fill(dns.Searches), Options: fill(dns.Options)}
}

// ownDNS is what the task's own options say, and for the rest its group's block.
func ownDNS(want *drivers.NetworkRequest, group *nomadish.DNSConfig) *nomadish.DNSConfig {
	out := &nomadish.DNSConfig{Servers: want.Servers, Searches: want.Searches, Options: want.Options}
	if group == nil {
		return out
	}
	for _, f := range []struct {
		own   *[]string
		group []string
	}{{&out.Servers, group.Servers}, {&out.Searches, group.Searches}, {&out.Options, group.Options}} {
		if len(*f.own) == 0 {
			*f.own = f.group
		}
	}
	return out
}

// wantedNetwork asks the driver, where the task has no network yet.
func wantedNetwork(s *task.Setup) (*drivers.NetworkRequest, error) {
	if n, ok := s.Driver.(drivers.Networker); ok && s.Spec.Network == nil {
		return n.TaskNetwork(s.Spec)
	}
	return nil, nil
}

// networkID is the same for all starts of the task: they have the same network.
func networkID(s *task.Setup) string { return s.Alloc.ID + "/" + s.Task.Name }

func (h ownNetwork) Restore(ctx context.Context, s *task.Setup) error {
	if h.networks == nil || s.Spec.Network != nil {
		return nil
	}
	st, err := h.networks.Restore(ctx, networkID(s))
	if err != nil || st == nil {
		return err
	}
	s.Spec.Network = &st.Network
	if st.Renewed {
		s.Restart(lostNetwork)
	}
	return nil
}

func (h ownNetwork) Release(ctx context.Context, s *task.Setup) error {
	if h.networks == nil {
		return nil
	}
	return h.networks.Release(ctx, networkID(s))
}
