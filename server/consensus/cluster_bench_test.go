package consensus_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// sockets are the listeners of servers on loopback.
type sockets map[string]net.Listener

// socketNetwork is a server's Network over TCP.
type socketNetwork struct {
	all  sockets
	self net.Listener
}

func (n socketNetwork) Dial(ctx context.Context, id string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", n.all[id].Addr().String())
}

func (n socketNetwork) Accept(ctx context.Context) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { n.self.Close() })
	defer stop()
	return n.self.Accept()
}

// group is servers on the real disk and on sockets.
type group struct {
	servers []*consensus.Consensus
	dirs    []string
	stop    func() // ends them all; also done when the test ends
}

// cluster runs servers until the test ends.
func cluster(tb testing.TB, n int) *group {
	tb.Helper()
	all, ids := sockets{}, make([]string, n)
	for i := range ids {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		ids[i] = fmt.Sprintf("s%d", i+1)
		all[ids[i]] = l
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	g := &group{stop: func() { cancel(); running.Wait() }}
	tb.Cleanup(g.stop)
	for _, id := range ids {
		dir := filepath.Join(tb.TempDir(), "server")
		c, err := consensus.New(consensus.Config{ID: id, Dir: dir, Bootstrap: ids}, fsm.New(state.New(), fsm.Config{}), socketNetwork{all, all[id]})
		if err != nil {
			tb.Fatal(err)
		}
		g.servers, g.dirs = append(g.servers, c), append(g.dirs, dir)
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				tb.Error(err)
			}
		})
	}
	return g
}

// leader waits for the server that leads.
func (g *group) leader(tb testing.TB) *consensus.Consensus {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, c := range g.servers {
			if c.IsLeader() {
				return c
			}
		}
	}
	tb.Fatal("no leader")
	return nil
}

// A write is a variable of 200 bytes.
func BenchmarkProposeCluster(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			leader := cluster(b, 3).leader(b)
			var next atomic.Int64
			b.ReportAllocs()
			b.SetParallelism((writers + 1) / 2)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := next.Add(1)
					c := &fsm.SetVariable{
						Namespace: "default", Path: fmt.Sprintf("bench/%d", n),
						Items: &nomadish.Sealed{KeyID: "key", Data: make([]byte, 200)},
					}
					if _, err := leader.Propose(context.Background(), c); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}
