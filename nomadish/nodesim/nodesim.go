// Package nodesim simulates client nodes, thousands in one process, to measure servers with.
//
// A simulated node is a real one as far as servers can tell: it has a connection, an identity and
// a secret of its own, registers, renews its lease, watches its allocations and reports what
// becomes of them, all through the same API. It runs nothing: an allocation is running when the
// node says so.
//
//	fleet, err := nodesim.New(nodesim.Config{Servers: []string{"10.0.0.1:4647"}, Nodes: 5000})
//	err = fleet.Run(ctx) // until ctx ends; fleet.Figures() tells how it goes
package nodesim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// Bounds.
const (
	maxNodes   = 100_000
	connecting = 64 // nodes that connect at a time: servers bound those of one address that are not known yet
	purging    = 16 // nodes that are purged at a time
)

// Config says which nodes there are and how they behave.
type Config struct {
	Servers    []string // host:port for other agents; required
	Region     string   // default global
	Datacenter string   // default dc1
	NodePool   string   // default default

	Nodes int     // default 100
	Seed  uint64  // of the nodes' identities and kinds: the same seed gives the same nodes
	Pace  float64 // nodes that start per second; default 200

	RunAfter time.Duration // from an allocation's arrival until it runs; default at once
	RunFor   time.Duration // how long allocations of batch jobs, and those that fail, run; default 10s
	Fail     float64       // share of allocations that fail; default none
	Hold     bool          // nothing is reported until Release

	// Purge forgets a node when the fleet has ended; nil: nodes are left to be taken for down.
	Purge func(ctx context.Context, nodeID string) error

	IntroToken nomadish.SecretText // introduces the nodes; default none

	// The nodes' certificate, key and authority, of files in PEM: all show the same, which names the
	// role client.REGION.nomad and no node. Default: connections are not encrypted.
	CertFile, KeyFile, CAFile string
	Logger                    *slog.Logger // default discard
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, nomadish.DefaultRegion)
	c.Datacenter = cmp.Or(c.Datacenter, "dc1")
	c.NodePool = cmp.Or(c.NodePool, nomadish.NodePoolDefault)
	c.Nodes = cmp.Or(c.Nodes, 100)
	c.Pace = cmp.Or(c.Pace, 200)
	c.RunFor = cmp.Or(c.RunFor, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func (c Config) validate() error {
	var errs []error
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: there must be one"))
	}
	if c.Nodes < 1 || c.Nodes > maxNodes {
		errs = append(errs, fmt.Errorf("nodes: %d is not between 1 and %d", c.Nodes, maxNodes))
	}
	if c.Pace < 0 || c.RunAfter < 0 || c.RunFor < 0 {
		errs = append(errs, errors.New("pace, run_after, run_for: one is negative"))
	}
	if c.Fail < 0 || c.Fail > 1 {
		errs = append(errs, fmt.Errorf("fail: %v is not between 0 and 1", c.Fail))
	}
	return errors.Join(errs...)
}

// Fleet is a number of simulated nodes.
type Fleet struct {
	cfg   Config
	nodes []*node
	tls   *transport.PeerTLS // nil: connections are not encrypted
	meter meter
	gate  chan struct{} // held by a node that connects

	released chan struct{} // closed when reports may go
	release  sync.Once
}

// New describes the nodes. It starts nothing. An error says what is wrong with the
// configuration, or that this process may not open as many files as it takes.
func New(cfg Config) (*Fleet, error) {
	cfg = cfg.withDefaults()
	if err := errors.Join(cfg.validate(), checkFiles(cfg.Nodes)); err != nil {
		return nil, fmt.Errorf("simulated nodes: %w", err)
	}
	f := &Fleet{cfg: cfg, gate: make(chan struct{}, connecting), released: make(chan struct{})}
	if err := f.readTLS(); err != nil {
		return nil, fmt.Errorf("simulated nodes: %w", err)
	}
	for _, n := range describe(cfg) {
		f.nodes = append(f.nodes, newNode(f, n))
	}
	if !cfg.Hold {
		f.Release()
	}
	return f, nil
}

// readTLS reads the nodes' certificate, if there is one.
func (f *Fleet) readTLS() error {
	if f.cfg.CertFile == "" && f.cfg.KeyFile == "" && f.cfg.CAFile == "" {
		return nil
	}
	credentials, err := transport.ReadCredentials(f.cfg.CertFile, f.cfg.KeyFile, f.cfg.CAFile)
	if err != nil {
		return err
	}
	f.tls, err = transport.NewPeerTLS(transport.PeerTLSConfig{Region: f.cfg.Region}, credentials)
	return err
}

// Release lets the nodes report what they have held back.
func (f *Fleet) Release() { f.release.Do(func() { close(f.released) }) }

// Run starts the nodes one after the other and keeps them until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	err := f.run(ctx)
	if f.cfg.Purge != nil {
		err = errors.Join(err, f.purge(context.WithoutCancel(ctx)))
	}
	return err
}

func (f *Fleet) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	begin := time.Now()
	for i, n := range f.nodes {
		due := begin.Add(time.Duration(float64(i) / f.cfg.Pace * float64(time.Second)))
		if lifecycle.Sleep(ctx, time.Until(due)) != nil {
			return nil
		}
		wg.Go(func() { n.run(ctx) })
	}
	<-ctx.Done()
	return nil
}

// purge has the servers forget the nodes that they have known.
func (f *Fleet) purge(ctx context.Context) error {
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, purging)
		mu    sync.Mutex
		errs  []error
	)
	for _, n := range f.nodes {
		if !n.known.Load() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f.cfg.Purge(ctx, n.self.ID); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return fmt.Errorf("purge nodes: %d of %d failed, the first: %w", len(errs), len(f.nodes), errs[0])
	}
	return nil
}
