package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nomadish/nomadish/client/alloc"
	"github.com/nomadish/nomadish/client/artifact"
	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/client/task/hooks"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Client is a node.
type Client struct {
	cfg    Config
	server Server
	log    *slog.Logger
	dir    string // the client's own directory
	id     string
	secret nomadish.SecretText
	open   func(path string) (store, error)

	fetcher    *artifact.Fetcher
	hooks      task.Pipeline
	networks   networks // nil: this node makes none
	noNetworks string   // why, if it was to
	state      store    // set by Run

	registered    chan struct{} // closed once the servers know the node
	nodeDirty     chan struct{}
	allocDirty    chan struct{} // an allocation is to be started
	garbage       chan struct{} // an allocation may be removed
	renewIdentity chan struct{} // the node's identity is to be signed anew
	report        chan struct{} // an allocation has something to report

	static map[string]string // the node's metadata by its configuration
	metaMu sync.Mutex        // held while metadata changes

	mu       sync.Mutex
	dynamic  metadata // nil until it was read
	node     *nomadish.Node
	allocs   map[string]*entry
	refused  map[string]*nomadish.Allocation // reports, still to be told, of allocations that could not be taken over
	cpuTimes []cpuTime

	signed    *nomadish.SignedNodeIdentity // the node's identity; nil: it has none yet
	contact   contact                      // with the servers
	forgotten bool                         // the servers turned out not to know the node
	cancelAsk context.CancelFunc           // ends the question for allocations that is under way
}

// store is what the client keeps on disk.
type store interface {
	alloc.Store
	Allocs() ([]*localstate.Alloc, error)
	DeleteAlloc(id string) error
	NodeMeta() (map[string]*string, error)
	PutNodeMeta(meta map[string]*string) error
	Close() error
}

// entry is an allocation on this node.
type entry struct {
	runner    *alloc.Runner
	started   bool
	ended     bool // all tasks are dead, and nothing runs for it any more
	endedAt   time.Time
	abandoned bool                 // it was stopped as the servers were not reached for too long
	unwanted  bool                 // the servers no longer list it
	acked     *nomadish.Allocation // the newest report that the servers took
	recalls   int                  // how often the servers forgot what they had taken
}

// New makes a client. It reads or makes the node's identity and looks at the machine.
func New(cfg Config, server Server) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c := &Client{
		cfg: cfg, server: server, log: cfg.Logger, dir: filepath.Join(cfg.DataDir, "client"),
		registered: make(chan struct{}), nodeDirty: make(chan struct{}, 1), allocDirty: make(chan struct{}, 1), garbage: make(chan struct{}, 1),
		renewIdentity: make(chan struct{}, 1), report: make(chan struct{}, 1), allocs: map[string]*entry{}, refused: map[string]*nomadish.Allocation{},
		open: func(path string) (store, error) { return localstate.Open(path) },
	}
	// Tasks may run as other users, who must be able to reach their own directories.
	for _, dir := range []string{c.dir, c.allocDir()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
	}
	if c.id, err = identity(filepath.Join(c.dir, "client-id")); err != nil {
		return nil, fmt.Errorf("client: identity: %w", err)
	}
	secret, err := identity(filepath.Join(c.dir, "secret-id"))
	if err != nil {
		return nil, fmt.Errorf("client: identity: %w", err)
	}
	c.secret = nomadish.SecretText(secret)
	if err := c.contact.load(c.contactFile(), time.Now()); err != nil {
		c.log.Warn("read which servers there were", "err", err) // those of the configuration will do
	}
	if c.fetcher, err = artifact.New(cfg.Artifact); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if err := c.makeNetworks(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c.hooks = hooks.All(c.hooksConfig())
	c.static = staticMeta(cfg.Meta)
	c.node = c.newNode()
	return c, nil
}

func (c *Client) allocDir() string { return filepath.Join(c.dir, "alloc") }

// newNode describes the machine, without its drivers.
func (c *Client) newNode() *nomadish.Node {
	cfg := c.cfg
	n := &nomadish.Node{
		ID: c.id, SecretID: c.secret, Name: cfg.Name, Datacenter: cfg.Datacenter, NodePool: cfg.NodePool,
		NodeClass: cfg.NodeClass, Meta: maps.Clone(c.static), HTTPAddr: cfg.HTTPAddr, TLSEnabled: cfg.TLS,
		ReservedResources: cfg.Reserved, HostVolumes: cfg.HostVolumes, CgroupParent: cfg.CgroupParent,
		Links: map[string]string{}, Status: nomadish.NodeStatusReady, SchedulingEligibility: nomadish.NodeEligible,
		Attributes: map[string]string{}, Drivers: map[string]*nomadish.DriverInfo{},
	}
	if n.ReservedResources == nil {
		n.ReservedResources = &nomadish.NodeReservedResources{}
	}
	fp := cfg.Fingerprint
	fp.DataDir = c.allocDir()
	fp.Logger = c.log
	fp.Skip = network.IsLink
	if err := fingerprint.Detect(context.Background(), fp, n); err != nil {
		c.log.Warn("look at the machine", "err", err) // the node is known by what could be found out
	}
	c.offerNetworks(n)
	n.ComputedClass = fingerprint.ComputedClass(n)
	return n
}

// NodeID returns the node's ID.
func (c *Client) NodeID() string { return c.id }

// SecretID returns the secret by which the servers know the node.
func (c *Client) SecretID() nomadish.SecretText { return c.secret }

// Node returns the node as this client describes it. It is shared: copy it to change it.
func (c *Client) Node() *nomadish.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node
}

// Run is the node's life. It returns when ctx ends, or when the local state can't be opened.
func (c *Client) Run(ctx context.Context) (err error) {
	c.state, err = c.open(filepath.Join(c.dir, "state", "state.db"))
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer func() { err = errors.Join(err, c.state.Close()) }()
	if err := errors.Join(c.restoreMeta(), c.restore()); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return lifecycle.Run(ctx, c.keepNetworks, c.runAllocs, c.collectGarbage, c.reportAllocs, c.keepRegistered, c.watchDrivers, c.watchAllocs, c.stopAbandoned, c.keepIdentity)
}

// notify wakes who reads a channel.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// backoff is the growing pause after errors of the servers.
type backoff struct {
	first time.Duration
	next  time.Duration
}

const maxBackoff = 30 * time.Second

// wait pauses, each time about twice as long as before, with some jitter so that a
// thousand nodes don't come back at once.
func (b *backoff) wait(ctx context.Context, jitter float64) error {
	if b.next == 0 {
		b.next = b.first
	}
	d := b.next/2 + time.Duration(jitter*float64(b.next))/2
	b.next = min(2*b.next, maxBackoff)
	return lifecycle.Sleep(ctx, d)
}

func (b *backoff) reset() { b.next = 0 }
