// Package servertest runs several servers in one process, on disks and a network in memory: the real
// consensus, commands and state, with nothing under them but memory. Servers can be cut off, and killed
// so that they lose what their disks had not synced.
//
//	c := servertest.Start(t, 3)
//	old := c.Leader(t)
//	c.Kill(t, old)
//	next := c.Leader(t, old)
//
// Everything works in a bubble of testing/synctest as well, where time costs nothing.
package servertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Options say how a cluster is made.
type Options struct {
	Servers   int                     // voters that make the cluster; default 3
	Spares    int                     // servers besides that are not members yet
	Seed      uint64                  // of delays and of what crashes lose
	Delay     time.Duration           // most that a message takes; default none
	Configure func(*consensus.Config) // changes each server's settings; default: nothing
}

// Cluster is a number of servers.
type Cluster struct {
	Net     *Network
	servers []*Server
	opts    Options

	mu  sync.Mutex
	rng *rand.Rand
}

// Server is one of them, through all its restarts.
type Server struct {
	ID string

	mu   sync.Mutex
	disk *vfs.Mem
	hook vfs.Hook
	life *life // nil while it is down
}

// life is a server from a start to its end.
type life struct {
	consensus *consensus.Consensus
	store     *state.Store
	cancel    context.CancelFunc
	ended     chan struct{}
	err       error // of Run; set when ended is closed
}

// ErrDown is what a server that does not run answers.
var ErrDown = errors.New("server is down")

// Start starts n servers, which stop when the test ends.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	return StartWith(t, Options{Servers: n})
}

// StartWith starts servers as the options say.
func StartWith(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Servers == 0 {
		opts.Servers = 3
	}
	c := &Cluster{
		Net:  NewNetwork(rand.New(rand.NewPCG(opts.Seed, 1)), opts.Delay),
		opts: opts, rng: rand.New(rand.NewPCG(opts.Seed, 2)),
	}
	for i := range opts.Servers + opts.Spares {
		c.servers = append(c.servers, &Server{ID: fmt.Sprintf("s%d", i+1), disk: vfs.NewMem()})
	}
	t.Cleanup(func() {
		for _, s := range c.servers {
			if err := s.stop(); err != nil {
				t.Errorf("%s: %v", s.ID, err)
			}
		}
	})
	for _, s := range c.servers {
		c.Restart(t, s)
	}
	return c
}

// Servers returns all of them, s1 first.
func (c *Cluster) Servers() []*Server { return c.servers }

// bootstrap returns what a server knows of the cluster before it has data.
func (c *Cluster) bootstrap(s *Server) []string {
	if slices.Index(c.servers, s) >= c.opts.Servers {
		return nil
	}
	var ids []string
	for _, voter := range c.servers[:c.opts.Servers] {
		ids = append(ids, voter.ID)
	}
	return ids
}

// Leader waits for a leader, other than those named.
func (c *Cluster) Leader(t testing.TB, not ...*Server) *Server {
	t.Helper()
	var leader *Server
	Eventually(t, "a leader", func() error {
		for _, s := range c.servers {
			if l := s.now(); l != nil && !slices.Contains(not, s) && l.consensus.IsLeader() {
				leader = s
				return nil
			}
		}
		return errors.New("there is none")
	})
	return leader
}

// Disconnect cuts a server off from the others, until Connect.
func (c *Cluster) Disconnect(s *Server) { c.each(s, c.Net.Cut) }

// Connect takes back Disconnect.
func (c *Cluster) Connect(s *Server) { c.each(s, c.Net.Mend) }

func (c *Cluster) each(s *Server, do func(from, to string)) {
	for _, other := range c.servers {
		if other != s {
			do(s.ID, other.ID)
			do(other.ID, s.ID)
		}
	}
}

// Kill cuts a server's power: what its disk had not synced is lost in part or whole.
func (c *Cluster) Kill(t testing.TB, s *Server) {
	t.Helper()
	c.mu.Lock()
	rng := rand.New(rand.NewPCG(c.rng.Uint64(), 0))
	c.mu.Unlock()
	s.mu.Lock()
	s.disk = s.disk.Crash(rng)
	s.mu.Unlock()
	c.Net.Unplug(s.ID)
	if err := s.stop(); err != nil && !errors.Is(err, vfs.ErrCrashed) {
		t.Errorf("%s: %v", s.ID, err)
	}
}

// Restart starts a server that is down, with what its disk has.
func (c *Cluster) Restart(t testing.TB, s *Server) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != nil {
		t.Fatalf("%s runs already", s.ID)
	}
	var disk vfs.FS = s.disk
	if s.hook != nil {
		disk = vfs.WithHook(disk, s.hook)
	}
	cfg := consensus.Config{
		ID: s.ID, Dir: "server", FS: disk, Bootstrap: c.bootstrap(s),
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if c.opts.Configure != nil {
		c.opts.Configure(&cfg)
	}
	store := state.New()
	run, err := consensus.New(cfg, fsm.New(store, fsm.Config{Logger: cfg.Logger}), c.Net.Listen(s.ID))
	if err != nil {
		t.Fatalf("%s: %v", s.ID, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{consensus: run, store: store, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		l.err = run.Run(ctx)
	}()
	s.life = l
}

// SetHook puts faults in front of the server's disk from its next start on.
func (s *Server) SetHook(hook vfs.Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// stop ends the server in order and returns what its Run did.
func (s *Server) stop() error {
	s.mu.Lock()
	l := s.life
	s.life = nil
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	l.cancel()
	<-l.ended
	return l.err
}

// Wait returns what Run returned, once it has.
func (s *Server) Wait() error {
	l := s.now()
	if l == nil {
		return ErrDown
	}
	<-l.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == l {
		s.life = nil
	}
	return l.err
}

func (s *Server) now() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// Consensus returns the server's part in the cluster, or nil while it is down.
func (s *Server) Consensus() *consensus.Consensus {
	if l := s.now(); l != nil {
		return l.consensus
	}
	return nil
}

// Propose commits a command, if the server leads.
func (s *Server) Propose(ctx context.Context, command fsm.Command) (consensus.Result, error) {
	l := s.now()
	if l == nil {
		return consensus.Result{}, ErrDown
	}
	return l.consensus.Propose(ctx, command)
}

// Read returns state with everything that was acknowledged before the call, if the server leads.
func (s *Server) Read(ctx context.Context) (state.Reader, error) {
	l := s.now()
	if l == nil {
		return state.Reader{}, ErrDown
	}
	index, err := l.consensus.ReadIndex(ctx)
	if err != nil {
		return state.Reader{}, err
	}
	if err := l.consensus.WaitIndex(ctx, index); err != nil {
		return state.Reader{}, err
	}
	return l.store.Reader(), nil
}

// State returns what the server knows, which may be old.
func (s *Server) State() state.Reader {
	if l := s.now(); l != nil {
		return l.store.Reader()
	}
	return state.New().Reader()
}

// Store returns the server's store, or nil while it is down.
func (s *Server) Store() *state.Store {
	if l := s.now(); l != nil {
		return l.store
	}
	return nil
}

// eventuallyWithin bounds Eventually.
const eventuallyWithin = 20 * time.Second

// Eventually waits until check returns nil, and fails the test with its last error otherwise.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	end := time.Now().Add(eventuallyWithin)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s: %v", eventuallyWithin, what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
