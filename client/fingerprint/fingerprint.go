// Package fingerprint finds out what a machine is and has, under the attribute names that
// Nomad's jobs use in constraints.
package fingerprint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nomadish/nomadish/nomadish"
)

// Config overrides what is found. Zero values override nothing.
type Config struct {
	DataDir          string // the disk that allocations use
	NetworkInterface string // default: the one of the default route
	Loopback         bool   // offer the loopback interface alone, as agent -dev does
	NetworkSpeed     int    // Mbit/s, where the interface does not tell; default 1000
	CPUTotalMHz      int64
	MemoryTotalMB    int64
	DiskTotalMB      int64
	DiskFreeMB       int64
	MinDynamicPort   int // default 20000
	MaxDynamicPort   int // default 32000
	HostNetworks     map[string]*nomadish.HostNetworkInfo
	Skip             func(link string) bool // interfaces that are not the node's own; default none
	Version          string                 // of this program
	Root             string                 // where /proc, /sys and /etc are; default "/"
	Logger           *slog.Logger           // default discard
}

// CompatibleVersion is the attribute nomad.version: jobs constrain on it, and we take the
// jobs of this version of Nomad.
const CompatibleVersion = "2.0.6"

// probe finds out one thing and adds it to the node.
type probe struct {
	name string
	run  func(ctx context.Context, cfg *Config, n *nomadish.Node) error
}

// probes are all there are, in the order in which they run.
var probes = []probe{
	{"version", version},
	{"host", host},
	{"signals", signals},
	{"cgroup", cgroups},
	{"cpu", cpu},
	{"memory", memory},
	{"storage", storage},
	{"network", network},
}

// Detect adds to a node what the machine is and has. It goes on after an error; what could
// not be found out is in the error and missing in the node.
func Detect(ctx context.Context, cfg Config, n *nomadish.Node) error {
	cfg.NetworkSpeed = cmp.Or(cfg.NetworkSpeed, 1000)
	cfg.MinDynamicPort = cmp.Or(cfg.MinDynamicPort, 20000)
	cfg.MaxDynamicPort = cmp.Or(cfg.MaxDynamicPort, 32000)
	cfg.Root = cmp.Or(cfg.Root, "/")
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if n.Attributes == nil {
		n.Attributes = map[string]string{}
	}
	if n.NodeResources == nil {
		n.NodeResources = &nomadish.NodeResources{}
	}
	n.NodeResources.MinDynamicPort, n.NodeResources.MaxDynamicPort = cfg.MinDynamicPort, cfg.MaxDynamicPort
	var errs []error
	for _, p := range probes {
		if err := p.run(ctx, &cfg, n); err != nil {
			errs = append(errs, fmt.Errorf("fingerprint %s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}

func version(_ context.Context, cfg *Config, n *nomadish.Node) error {
	n.Attributes["nomad.version"] = CompatibleVersion
	n.Attributes["nomad.service_discovery"] = "true"
	n.Attributes["nomadish.version"] = cmp.Or(cfg.Version, "dev")
	return nil
}
