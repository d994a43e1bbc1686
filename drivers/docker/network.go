//go:build linux

package docker

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/drivers"
)

// Network modes of a task. Empty stands for the group's network, or for a bridge without one.
const (
	bridgeMode = "bridge"
	hostMode   = "host"
	noneMode   = "none"
)

// hostGateway is the word for the node's address as tasks with a network of their own see it.
const hostGateway = "host-gateway"

// readNetwork takes the options of the network.
func (s *settings) readNetwork(o drivers.Options, spec *drivers.TaskSpec) error {
	s.network = o.String("network_mode")
	var errs []error
	switch name, joins := strings.CutPrefix(s.network, "container:"); {
	case s.network == "default":
		s.network = bridgeMode
	case s.network == "" || s.network == bridgeMode || s.network == hostMode || s.network == noneMode:
	case joins && name != "":
		s.network, s.peer = "", peerTask(name, spec.AllocID)
		if s.peer == spec.Task {
			errs = append(errs, errors.New("network_mode: a task can't join its own network"))
		}
	default:
		errs = append(errs, fmt.Errorf("network_mode: there is no network %q: bridge, host, none and container:TASK are known, and a group can have network { mode = \"cni/NAME\" }", s.network))
	}
	if spec.Network != nil && s.network == bridgeMode {
		s.network = "" // the agent made it, or the group has one with the same ports
	}
	errs = append(errs, s.readPorts(o, spec), s.readHosts(o, spec), s.readResolver(o))
	return errors.Join(errs...)
}

// peerTask is the task that container:NAME means: its name, or that of its container, which
// ends with the allocation's ID.
func peerTask(name, allocID string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "/"), "-"+allocID)
}

// ownNetwork says whether the task is in a network namespace that is not the host's.
func (s *settings) ownNetwork(spec *drivers.TaskSpec) bool {
	switch s.network {
	case hostMode:
		return false
	case noneMode:
		return true
	}
	return spec.Network != nil || s.peer != ""
}

// readPorts takes the ports to map: labels of what the scheduler granted, in the older form
// with the port in the container.
func (s *settings) readPorts(o drivers.Options, spec *drivers.TaskSpec) error {
	labels, inside := o.Strings("ports"), o.Map("port_map")
	if len(labels) > 0 && len(inside) > 0 {
		return errors.New("port_map: ports is given as well; only one of them can be")
	}
	var errs []error
	option := "ports"
	if len(inside) > 0 {
		option, labels = "port_map", slices.Sorted(maps.Keys(inside))
	}
	for _, label := range labels {
		i := slices.IndexFunc(spec.Ports, func(p drivers.Port) bool { return p.Label == label })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s: no network block has a port %q", option, label))
			continue
		}
		p := spec.Ports[i]
		if to, ok := inside[label]; ok {
			n, err := strconv.Atoi(to)
			if err != nil || n < 1 || n > 65535 {
				errs = append(errs, fmt.Errorf("port_map: %s: %q is no port", label, to))
			}
			p.To = n
		}
		if p.To <= 0 {
			p.To = p.Host
		}
		s.ports = append(s.ports, p)
	}
	return errors.Join(errs...)
}

// readHosts takes more lines of /etc/hosts.
func (s *settings) readHosts(o drivers.Options, spec *drivers.TaskSpec) error {
	var errs []error
	for _, line := range o.Strings("extra_hosts") {
		name, address, _ := strings.Cut(line, ":")
		if address == hostGateway {
			address = s.hostAddress(spec)
		}
		ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
		if err != nil || name == "" || strings.ContainsAny(name, " \t\r\n#") {
			errs = append(errs, fmt.Errorf("extra_hosts: %q is not NAME:ADDRESS", line))
			continue
		}
		s.extraHosts = append(s.extraHosts, ip.String()+"\t"+name)
	}
	return errors.Join(errs...)
}

// hostAddress is the node's as the task sees it.
func (s *settings) hostAddress(spec *drivers.TaskSpec) string {
	if s.ownNetwork(spec) && spec.Network != nil && spec.Network.Gateway != "" {
		return spec.Network.Gateway
	}
	return "127.0.0.1"
}

// readResolver takes the lines of /etc/resolv.conf.
func (s *settings) readResolver(o drivers.Options) error {
	var errs []error
	for _, kind := range []struct{ option, keyword string }{
		{"dns_servers", "nameserver"},
		{"dns_search_domains", "search"},
		{"dns_options", "options"},
	} {
		values := o.Strings(kind.option)
		if slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, " \t\r\n") || v == "" }) {
			errs = append(errs, fmt.Errorf("%s: a value is empty or has a space or line break", kind.option))
			continue
		}
		if kind.keyword == "nameserver" {
			for _, v := range values {
				if _, err := netip.ParseAddr(v); err != nil {
					errs = append(errs, fmt.Errorf("dns_servers: %q is no address", v))
				}
				s.resolver = append(s.resolver, kind.keyword+" "+v)
			}
		} else if len(values) > 0 {
			s.resolver = append(s.resolver, kind.keyword+" "+strings.Join(values, " "))
		}
	}
	return errors.Join(errs...)
}

// request is the network that a task wants of the agent; nil is the host's, or one that the
// driver sees to itself.
func (s *settings) request() *drivers.NetworkRequest {
	if s.peer != "" || s.network == hostMode || s.network == noneMode {
		return nil
	}
	return &drivers.NetworkRequest{Mode: bridgeMode, Ports: s.ports, Hostname: s.hostname}
}
