package alloc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/client/task/hooks"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Networks makes network namespaces for groups.
type Networks interface {
	Setup(ctx context.Context, req network.Request) (*network.Status, error)
	Release(ctx context.Context, id string) error
}

// mode is that of the group's network, host where it has none of its own.
func (r *Runner) mode() string {
	if len(r.group.Networks) == 0 || r.group.Networks[0].Mode == "" {
		return network.ModeHost
	}
	return r.group.Networks[0].Mode
}

// groupNetwork makes the group's namespace, or what of it is missing. Every start of a task
// comes here, so that none runs in a network that is not whole.
func (r *Runner) groupNetwork(ctx context.Context) (*task.GroupNetwork, error) {
	mode := r.mode()
	if mode == network.ModeHost {
		return nil, nil
	}
	if r.cfg.Networks == nil {
		return nil, &task.InvalidError{Err: fmt.Errorf("network mode %q: %w", mode, network.ErrUnsupported)}
	}
	st, err := r.cfg.Networks.Setup(ctx, r.networkRequest(mode))
	if errors.Is(err, network.ErrUnsupported) {
		return nil, &task.InvalidError{Err: err}
	}
	if err != nil {
		return nil, err
	}
	status := nomadish.AllocNetworkStatus{
		InterfaceName: st.Interface, Address: st.Address, AddressIPv6: st.Address6, DNS: st.DNS,
	}
	r.mu.Lock()
	r.network = &status
	restored := r.restored
	r.mu.Unlock()
	r.poke()
	if st.Renewed && restored {
		if err := r.RestartAll("their network namespace was lost"); err != nil {
			r.cfg.Logger.Debug("restart after the loss of a network", "alloc", r.ID(), "err", err) // it is ending
		}
	}
	return &task.GroupNetwork{Mode: mode, Network: st.Network, Status: status, Notices: st.Notices}, nil
}

func (r *Runner) networkRequest(mode string) network.Request {
	n := r.group.Networks[0]
	text := hooks.GroupText(r.cfg.Node, r.cfg.Alloc, r.group, r.cfg.Region)
	req := network.Request{ID: r.ID(), Mode: mode, Hostname: text(n.Hostname), Ports: r.ports()}
	if n.DNS != nil {
		req.DNS = &nomadish.DNSConfig{
			Servers: texts(text, n.DNS.Servers), Searches: texts(text, n.DNS.Searches), Options: texts(text, n.DNS.Options),
		}
	}
	if n.CNI != nil {
		req.Args = maps.Clone(n.CNI.Args)
		for key, value := range req.Args {
			req.Args[key] = text(value)
		}
	}
	return req
}

func texts(text func(string) string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}

// ports are those that the scheduler granted to the group and its tasks.
func (r *Runner) ports() []drivers.Port {
	granted := r.cfg.Alloc.AllocatedResources
	if granted == nil {
		return nil
	}
	out := hooks.GrantedPorts(granted, "")
	for _, t := range r.group.Tasks {
		own := granted.Tasks[t.Name]
		if own == nil {
			continue
		}
		alone := &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{t.Name: own}}
		out = append(out, hooks.GrantedPorts(alone, t.Name)...)
	}
	return out
}

// freeNetwork frees the group's namespace. It is called when all tasks have ended: their
// ports are given to others then.
func (r *Runner) freeNetwork(ctx context.Context) error {
	if r.cfg.Networks == nil || r.mode() == network.ModeHost {
		return nil
	}
	return r.cfg.Networks.Release(ctx, r.ID())
}

// UsesNetwork says whether a network namespace is that of an allocation or of one of its
// tasks, and still needed.
func (r *Runner) UsesNetwork(id string) bool {
	alloc, _, _ := strings.Cut(id, "/")
	if alloc != r.ID() {
		return false
	}
	for _, t := range r.tasks {
		if t.Record().Phase != localstate.PhaseDead {
			return true
		}
	}
	return false
}
