//go:build linux

package container

import (
	"context"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Plan is what a driver makes of a task's options: the container that is to be.
type Plan struct {
	Root Root

	// The first process.
	Args            []string
	Env             []string // NAME=VALUE, below the task's own
	Denied          []string // patterns (package path) of variables of the task that it does not get
	User            specs.User
	WorkDir         string // default /
	TTY             bool
	Stdin           bool // standard input is open and silent, in place of ended
	NoNewPrivileges bool
	Rlimits         []specs.POSIXRlimit
	OOMScore        int
	StopSignal      string // default SIGTERM

	// What it sees.
	Share    []specs.LinuxNamespaceType // namespaces of the host that it is in
	Alone    bool                       // without a network of the task: only loopback, not the host's
	Hostname string                     // default the network's, or the host's
	Hosts    []string                   // more lines of /etc/hosts
	Resolver []string                   // lines of /etc/resolv.conf; default the network's, or the host's
	Mounts   []specs.Mount              // over all others
	ShmSize  int64                      // bytes of /dev/shm; default 64 MiB
	Sysctl   map[string]string

	// What it may do and use.
	Capabilities []string // bounding, effective and permitted, as CAP_…
	Ambient      []string // of these, those that another user than root keeps
	Masked       []string // paths that it finds empty, beside the usual ones
	Unconfined   bool     // no system call filter
	Privileged   bool     // no confinement at all
	Remap        *Pool    // users of its own, which are some of these on the host; nil: the host's
	MemoryHard   int64    // bytes; a limit above the task's memory, which is then only reserved
	CPUHard      bool     // no more CPU time than the share, also on an idle node
	CPUPeriod    uint64   // of the hard limit in microseconds; default 100000
	PidsLimit    int64    // default none

	Labels map[string]string
	// Edit changes the specification last, for what is not said above.
	Edit func(*specs.Spec) error
}

// Root is a container's file system: an image's, with a layer of its own to write to, or a
// directory of the host.
type Root struct {
	Image    client.Image
	Snapshot []snapshots.Opt // of the image's layer
	Dir      string
	Mounts   []specs.Mount // below all others, in this order
	ReadOnly bool
	NoPivot  bool // confine by chroot alone
}

// Planner makes the plan of a task that is about to start. A task that is there already needs
// none.
type Planner func(ctx context.Context, c *client.Client) (*Plan, error)
