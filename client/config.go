// Package client makes a machine a node: it registers with the servers, keeps its lease,
// runs the allocations that the servers place on it and reports what becomes of them.
//
//	c, err := client.New(client.Config{DataDir: dir, Drivers: drivers}, servers)
//	err = c.Run(ctx) // until ctx ends; tasks go on, and a later client finds them again
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/nomadish/nomadish/client/artifact"
	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/client/task/hooks"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Server is what a node needs of the servers. Its errors are taken for passing troubles:
// the client tries again, with growing pauses.
type Server interface {
	// Register makes the node known, or what has changed of it.
	Register(ctx context.Context, node *nomadish.Node) (*nomadish.NodeLease, error)
	// Heartbeat keeps the node's lease. An error that is nomadish.ErrNotFound says that the
	// servers don't know the node, which registers anew then.
	Heartbeat(ctx context.Context, nodeID, status string) (*nomadish.NodeLease, error)
	// Allocations returns what the servers have changed of the node's allocations, each with
	// its Job, since the answer of that index and count, once they have or a few minutes have
	// gone by. With index 0 it returns all at once.
	Allocations(ctx context.Context, nodeID string, index uint64, count int) (*nomadish.NodeAllocations, error)
	// UpdateAllocations reports the client's fields of allocations.
	UpdateAllocations(ctx context.Context, nodeID string, allocs []*nomadish.Allocation) error
	// SignNodeIdentity signs a token that says which node its bearer is.
	SignNodeIdentity(ctx context.Context, nodeID string) (*nomadish.SignedNodeIdentity, error)
	// SignIdentities signs identities of the node's tasks.
	SignIdentities(ctx context.Context, nodeID string, req *nomadish.IdentitiesRequest) (*nomadish.IdentitiesResponse, error)
}

// Config is what a client works with.
type Config struct {
	DataDir string                    // the agent's; the client's files lie in its folder client
	Drivers map[string]drivers.Driver // by the name that jobs use

	Name       string // default the host's name
	Region     string // default global
	Datacenter string // default dc1
	NodePool   string // default default
	NodeClass  string
	Meta       map[string]string
	HTTPAddr   string // where this node serves the API; empty when it does not
	TLS        bool   // HTTPAddr speaks TLS

	Fingerprint fingerprint.Config // overrides of what is found out of the machine
	Reserved    *nomadish.NodeReservedResources
	Network     *network.Config // of groups' and tasks' own networks, without DataDir and Logger; nil: the node offers none
	BridgeName  string          // the device that the node says its bridge network has; default nomad
	HostVolumes map[string]*nomadish.HostVolumeInfo

	Artifact    artifact.Config // bounds of what tasks have fetched
	DisableExec bool            // nobody runs commands inside tasks
	DeniedEnv   []string        // variables of the agent that no task gets, of the few that tasks get
	DeniedUsers hooks.Users     // as whom no task may run; default: tasks run as who they say

	CgroupParent        string        // of the tasks' control groups; default nomadish
	MaxKillTimeout      time.Duration // upper bound of tasks' kill_timeout; default 30s
	GCMaxAllocs         int           // ended allocations beyond this are removed, the oldest first; default 50
	GCInterval          time.Duration // time between looks at what can be removed; default 1m
	DriverInterval      time.Duration // time between looks at the drivers; default 30s
	UpdateInterval      time.Duration // time in which reports gather; default 100ms
	RetryInterval       time.Duration // first pause after a server's error, doubled up to 30s; default 1s
	StopTasksOnShutdown bool          // tasks end with the client, as with agent -dev

	// Leased is told of each lease that the servers give; default: nobody is.
	Leased func(*nomadish.NodeLease)
	Jitter func() float64   // in [0, 1); default random
	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default discard
}

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("client: the host's name: %w", err)
		}
		c.Name = name
	}
	c.Region = cmp.Or(c.Region, "global")
	c.Datacenter = cmp.Or(c.Datacenter, "dc1")
	c.NodePool = cmp.Or(c.NodePool, nomadish.NodePoolDefault)
	c.CgroupParent = cmp.Or(c.CgroupParent, "nomadish")
	c.BridgeName = cmp.Or(c.BridgeName, "nomad")
	c.MaxKillTimeout = cmp.Or(c.MaxKillTimeout, task.DefaultMaxKillTimeout)
	c.GCMaxAllocs = cmp.Or(c.GCMaxAllocs, 50)
	c.GCInterval = cmp.Or(c.GCInterval, time.Minute)
	c.DriverInterval = cmp.Or(c.DriverInterval, 30*time.Second)
	c.UpdateInterval = cmp.Or(c.UpdateInterval, 100*time.Millisecond)
	c.RetryInterval = cmp.Or(c.RetryInterval, time.Second)
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Leased == nil {
		c.Leased = func(*nomadish.NodeLease) {}
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c, c.validate()
}

func (c Config) validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("data_dir: must be set"))
	}
	for name, d := range c.Drivers {
		if name == "" || d == nil {
			errs = append(errs, fmt.Errorf("driver %q: must have a name and be there", name))
		}
	}
	if c.GCMaxAllocs < 0 {
		errs = append(errs, fmt.Errorf("gc_max_allocs: %d is negative", c.GCMaxAllocs))
	}
	return errors.Join(errs...)
}
