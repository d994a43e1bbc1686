package consensus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// alone is the network of a server without others.
type alone struct{}

func (alone) Dial(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }

func (alone) Accept(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// single runs a server on the real disk until the test ends, and waits until it leads.
func single(t testing.TB, dir string) (c *consensus.Consensus, stop func()) {
	t.Helper()
	c, err := consensus.New(consensus.Config{ID: "s1", Dir: dir, Bootstrap: []string{"s1"}},
		fsm.New(state.New(), fsm.Config{}), alone{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	leading, led := make(chan struct{}), make(chan error, 1)
	go func() {
		led <- c.Lead(ctx, func(ctx context.Context, _ uint64) error {
			close(leading)
			<-ctx.Done()
			return nil
		})
	}()
	stop = func() {
		cancel()
		if err := errors.Join(<-ended, <-led); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-leading:
	case err := <-ended:
		t.Fatal(err)
	}
	return c, stop
}

func register(id int64) fsm.Command {
	name := fmt.Sprintf("job-%d", id)
	return &fsm.RegisterJob{Job: &nomadish.Job{
		ID: &name, Name: &name, Namespace: nomadish.Ptr("default"), Type: nomadish.Ptr("service"),
		Meta: map[string]string{"filler": string(make([]byte, 900))},
	}}
}

// A lone server is its own leader soon after its start, on the real disk, new or not.
func TestLoneServerLeads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "server")
	for range 3 {
		began := time.Now()
		c, stop := single(t, dir)
		t.Logf("leader after %s", time.Since(began))
		res, err := c.Propose(t.Context(), &fsm.Barrier{})
		if err != nil {
			t.Fatal(err)
		}
		index, err := c.ReadIndex(t.Context())
		if err != nil || index != res.Index {
			t.Errorf("read index %d, %v, want %d", index, err, res.Index)
		}
		stop()
	}
}

// The commands are a job of 1 KiB, and one that costs the state nothing: the difference is not consensus.
func BenchmarkPropose(b *testing.B) {
	for name, command := range map[string]func(int64) fsm.Command{
		"job":     register,
		"barrier": func(int64) fsm.Command { return &fsm.Barrier{} },
	} {
		for _, writers := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				c, stop := single(b, filepath.Join(b.TempDir(), "server"))
				defer stop()
				var next atomic.Int64
				b.ReportAllocs()
				b.SetParallelism((writers + 1) / 2)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := c.Propose(context.Background(), command(next.Add(1))); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

func BenchmarkReadIndex(b *testing.B) {
	c, stop := single(b, filepath.Join(b.TempDir(), "server"))
	defer stop()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.ReadIndex(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
}
