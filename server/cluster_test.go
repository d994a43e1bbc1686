package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/servertest"
)

// cluster is three whole servers on disks and a network in memory.
type cluster struct {
	net     *servertest.Network
	members []*member
	rng     *rand.Rand // of what power cuts lose
	wrapper secrets.Wrapper
	refused atomic.Int64 // states that servers asked for while they refused to serve
}

// member is one of the servers, through all its restarts.
type member struct {
	id   string
	dir  string
	disk *vfs.Mem
	hook atomic.Pointer[vfs.Hook]      // faults of the disk, nil without
	now  atomic.Pointer[server.Server] // nil while it is down
	stop func() error
}

// start starts three servers, which stop when the test ends.
func start(t testing.TB, seed uint64) *cluster {
	t.Helper()
	c := &cluster{
		net: servertest.NewNetwork(rand.New(rand.NewPCG(seed, 1)), 2*time.Millisecond),
		rng: rand.New(rand.NewPCG(seed, 2)), wrapper: secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key")),
	}
	for i := range 3 {
		c.members = append(c.members, &member{id: fmt.Sprint("s", i+1), dir: t.TempDir(), disk: vfs.NewMem()})
	}
	for _, m := range c.members {
		c.boot(t, m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			if m.now.Load() == nil {
				continue
			}
			if err := m.stop(); err != nil {
				t.Errorf("%s: %v", m.id, err)
			}
		}
	})
	return c
}

// boot starts a server with what its disk has.
func (c *cluster) boot(t testing.TB, m *member) {
	t.Helper()
	var ids []string
	for _, other := range c.members {
		ids = append(ids, other.id)
	}
	disk := vfs.WithHook(m.disk, func(op vfs.Op, name string) error {
		if hook := m.hook.Load(); hook != nil {
			return (*hook)(op, name)
		}
		return nil
	})
	s, err := server.New(server.Config{
		ID: m.id, Dir: m.dir, FS: disk, Bootstrap: ids, AskLeader: c.askLeader, AskServer: c.askServer, AskState: c.askState, Keyring: secrets.Config{Wrappers: []secrets.Wrapper{c.wrapper}},
		Consensus: consensus.Config{
			SnapshotThreshold: 200, TrailingEntries: 50, SnapshotInterval: 2 * time.Second, SegmentSize: 64 << 10,
			Reserve: 256 << 10,
		},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	}, c.net.Listen(m.id))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	m.now.Store(s)
	m.stop = func() error {
		cancel()
		return <-ended
	}
}

// kill cuts a server's power: what its disk had not synced is lost in part or whole.
func (c *cluster) kill(t testing.TB, m *member) {
	t.Helper()
	m.disk = m.disk.Crash(rand.New(rand.NewPCG(c.rng.Uint64(), 0)))
	c.net.Unplug(m.id)
	m.now.Store(nil)
	if err := m.stop(); err != nil && !errors.Is(err, vfs.ErrCrashed) {
		t.Errorf("%s: %v", m.id, err)
	}
}

// leader is the server that leads now, or nil.
func (c *cluster) leader() *member {
	for _, m := range c.members {
		if s := m.now.Load(); s != nil && s.Consensus().IsLeader() {
			return m
		}
	}
	return nil
}

// leading is the server that leads now.
func (c *cluster) leading() (*server.Server, error) {
	if m := c.leader(); m != nil {
		if s := m.now.Load(); s != nil {
			return s, nil
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
}

// askLeader stands in for the route between servers.
func (c *cluster) askLeader(ctx context.Context) (uint64, error) {
	s, err := c.leading()
	if err != nil {
		return 0, err
	}
	return s.CommitIndex(ctx)
}

// askServer stands in for the route on which servers ask each other how they are.
func (c *cluster) askServer(ctx context.Context, id string) (*nomadish.ServerReport, error) {
	for _, m := range c.members {
		if s := m.now.Load(); s != nil && m.id == id {
			return s.Report(ctx)
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "server %s is down", id)
}

// askState stands in for the route on which a server gets another one's state.
func (c *cluster) askState(ctx context.Context, id string) (io.ReadCloser, error) {
	for _, m := range c.members {
		if s := m.now.Load(); s != nil && s.Serving() != nil {
			c.refused.Add(1)
		}
	}
	for _, m := range c.members {
		if s := m.now.Load(); s != nil && m.id == id {
			var b bytes.Buffer
			err := s.State(ctx, &b)
			return io.NopCloser(&b), err
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "server %s is down", id)
}

// awaitLeader waits for a leader other than not.
func (c *cluster) awaitLeader(t testing.TB, not *member) *member {
	t.Helper()
	var leader *member
	servertest.Eventually(t, "a leader", func() error {
		if leader = c.leader(); leader == nil || leader == not {
			return errors.New("there is none")
		}
		return nil
	})
	return leader
}

// converge waits until all servers have applied the same and have the same state.
func (c *cluster) converge(t testing.TB) {
	t.Helper()
	servertest.Eventually(t, "the same state on all servers", func() error {
		want := c.members[0].now.Load().Store().Reader()
		for _, m := range c.members[1:] {
			got := m.now.Load().Store().Reader()
			if got.Index() != want.Index() || got.Hash() != want.Hash() {
				return fmt.Errorf("%s: index %d hash %s; s1: index %d hash %s", m.id, got.Index(), got.Hash(), want.Index(), want.Hash())
			}
		}
		return nil
	})
}
