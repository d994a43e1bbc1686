package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/nomadish"
)

// dialTimeout bounds how long a port may take to answer.
const dialTimeout = 5 * time.Second

// Dial connects to a port of an allocation, by its number or label. In a network namespace
// of the allocation's own any port can be reached, in the host's only those that it was
// granted. task may be empty where its choice makes no difference.
func (c *Client) Dial(ctx context.Context, allocID, task, port string) (net.Conn, error) {
	e, err := c.find(allocID)
	if err != nil {
		return nil, err
	}
	tasks, err := c.tasks(allocID, task)
	if err != nil {
		return nil, err
	}
	where, err := namespaceOf(tasks)
	if err != nil {
		return nil, err
	}
	to, err := target(grantedPorts(e.runner.Alloc()), port, where != "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var errs []error
	for _, host := range to.hosts {
		conn, err := dialIn(ctx, where, net.JoinHostPort(host, strconv.Itoa(to.port)))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, nomadish.Errorf(nomadish.KindInvalid, "port %s: nothing listens on it: %w", port, errors.Join(errs...))
}

// namespaceOf returns the path of the network namespace that the running ones of some tasks
// share, empty if that is the host's.
func namespaceOf(tasks []*task.Runner) (string, error) {
	running := slices.DeleteFunc(slices.Clone(tasks), func(t *task.Runner) bool {
		return t.Record().Phase != localstate.PhaseRunning
	})
	if len(running) == 0 {
		return "", nomadish.Errorf(nomadish.KindInvalid, "Task not running")
	}
	path := ""
	for i, t := range running {
		own := ""
		if n := t.Network(); n != nil {
			own = n.Namespace
		}
		if i > 0 && own != path {
			return "", nomadish.Errorf(nomadish.KindInvalid, "task must be named: the allocation's tasks have different networks")
		}
		path = own
	}
	return path, nil
}

// granted is a port that the scheduler gave an allocation.
type granted struct {
	label     string
	ip        string
	value, to int
}

func grantedPorts(a *nomadish.Allocation) []granted {
	r := a.AllocatedResources
	if r == nil {
		return nil
	}
	var out []granted
	for _, p := range r.Shared.Ports {
		out = append(out, granted{p.Label, p.HostIP, p.Value, p.To})
	}
	for _, t := range r.Tasks {
		for _, n := range t.Networks {
			for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
				out = append(out, granted{p.Label, n.IP, p.Value, p.To})
			}
		}
	}
	return out
}

// address is where a port may be listened on.
type address struct {
	hosts []string
	port  int
}

// target finds a port by its label or number. own says that the allocation has a network
// namespace of its own, where a mapped port has the number that the task knows it by.
func target(ports []granted, port string, own bool) (address, error) {
	number, err := strconv.Atoi(port)
	byNumber := err == nil
	if byNumber && (number < 1 || number > 65535) {
		return address{}, nomadish.Errorf(nomadish.KindInvalid, "port %d is not between 1 and 65535", number)
	}
	i := slices.IndexFunc(ports, func(g granted) bool { return g.label == port || byNumber && !own && g.value == number })
	switch {
	case i < 0 && !byNumber:
		return address{}, nomadish.Errorf(nomadish.KindInvalid, "the allocation has no port %q", port)
	case i < 0 && !own:
		return address{}, nomadish.Errorf(nomadish.KindDenied, "port %d is not one of the allocation's, whose network is the host's", number)
	case i < 0:
		return address{hosts: []string{"127.0.0.1", "::1"}, port: number}, nil
	case own:
		inside := ports[i].value
		if ports[i].to > 0 {
			inside = ports[i].to
		}
		return address{hosts: []string{"127.0.0.1", "::1"}, port: inside}, nil
	}
	hosts := []string{"127.0.0.1"}
	if ip := ports[i].ip; net.ParseIP(ip) != nil && !net.ParseIP(ip).IsLoopback() {
		hosts = append(hosts, ip)
	}
	return address{hosts: append(hosts, "::1"), port: ports[i].value}, nil
}
