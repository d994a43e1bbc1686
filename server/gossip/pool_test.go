package gossip_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nomadish/nomadish/server/gossip"
)

// waitAtMost is how long what has to come about may take.
const waitAtMost = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runner is a pool that runs, and can be stopped before the test ends.
type runner struct {
	*gossip.Pool
	cfg  gossip.Config
	stop func()
}

func config(id, region string, keys ...[]byte) gossip.Config {
	return gossip.Config{
		Self: gossip.Member{ID: id, Name: "name-" + id, Region: region, Datacenter: "dc1", Build: "1.0", RPC: "127.0.0.1:1", Expect: 3},
		Bind: "127.0.0.1:0", Keys: keys,
		ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond, RejoinEvery: 200 * time.Millisecond, KeyTimeout: 300 * time.Millisecond,
	}
}

func start(t testing.TB, cfg gossip.Config) *runner {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	p, err := gossip.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stopped := false
	r := &runner{Pool: p, cfg: cfg}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("pool of %s: %v", cfg.Self.ID, err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

func join(t testing.TB, p, to *runner) {
	t.Helper()
	if n, err := p.Join(t.Context(), []string{to.Addr().String()}); err != nil || n != 1 {
		t.Fatalf("joined %d: %v", n, err)
	}
}

// sees waits until a pool shows exactly these statuses, by ID.
func (r *runner) sees(t testing.TB, want map[string]string) {
	t.Helper()
	deadline := time.After(waitAtMost)
	for {
		changed := r.Changed()
		got := map[string]string{}
		for _, m := range r.Members() {
			got[m.ID] = m.Status
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s sees %v, want %v", r.cfg.Self.ID, got, want)
		}
	}
}

func key(t testing.TB) []byte {
	t.Helper()
	k := make([]byte, 32)
	if _, err := rand.Read(k); err != nil {
		t.Fatal(err)
	}
	return k
}

// Servers find each other through any one of them, whatever their region.
func TestServersFindEachOther(t *testing.T) {
	k := key(t)
	a, b, c := start(t, config("a", "global", k)), start(t, config("b", "global", k)), start(t, config("c", "west", k))
	join(t, b, a)
	join(t, c, b)
	want := map[string]string{"a": "alive", "b": "alive", "c": "alive"}
	for _, p := range []*runner{a, b, c} {
		p.sees(t, want)
	}
	m, ok := a.Member("c")
	if !ok || m.FullName() != "name-c.west" || m.RPC != "127.0.0.1:1" || m.Expect != 3 || m.Tags["region"] != "west" {
		t.Errorf("a knows of c: %+v, %v", m, ok)
	}
}

// Who says good-bye has left, who does not has failed, and only the latter can be made to leave.
func TestLeavingAndFailing(t *testing.T) {
	a, b, c := start(t, config("a", "global")), start(t, config("b", "global")), start(t, config("c", "global"))
	join(t, b, a)
	join(t, c, a)
	b.sees(t, map[string]string{"a": "alive", "b": "alive", "c": "alive"})
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.stop()
	a.sees(t, map[string]string{"a": "alive", "b": "alive", "c": "left"})
	if err := a.ForceLeave(t.Context(), "name-a", false); err != nil {
		t.Fatal(err)
	}
	a.sees(t, map[string]string{"a": "alive", "b": "alive", "c": "left"})
	b.stop()
	a.sees(t, map[string]string{"a": "alive", "b": "failed", "c": "left"})
	if err := a.ForceLeave(t.Context(), "name-b.global", false); err != nil {
		t.Fatal(err)
	}
	a.sees(t, map[string]string{"a": "alive", "b": "left", "c": "left"})
	if err := a.ForceLeave(t.Context(), "name-c.global", true); err != nil {
		t.Fatal(err)
	}
	a.sees(t, map[string]string{"a": "alive", "b": "left"})
}

// A server that is alive and told to leave is shown as leaving, and has left once it does not answer.
func TestForceLeaveOfOneThatIsAlive(t *testing.T) {
	a, b := start(t, config("a", "global")), start(t, config("b", "global"))
	join(t, b, a)
	a.sees(t, map[string]string{"a": "alive", "b": "alive"})
	if err := a.ForceLeave(t.Context(), "name-b.global", false); err != nil {
		t.Fatal(err)
	}
	a.sees(t, map[string]string{"a": "alive", "b": "leaving"})
	b.stop()
	a.sees(t, map[string]string{"a": "alive", "b": "left"})
}

// One that was forgotten while it is alive is seen again soon.
func TestPruneOfOneThatIsAlive(t *testing.T) {
	a, b := start(t, config("a", "global")), start(t, config("b", "global"))
	join(t, b, a)
	a.sees(t, map[string]string{"a": "alive", "b": "alive"})
	if err := a.ForceLeave(t.Context(), "name-b", true); err != nil {
		t.Fatal(err)
	}
	a.sees(t, map[string]string{"a": "alive", "b": "alive"})
	b.stop()
	a.sees(t, map[string]string{"a": "alive", "b": "failed"})
}

// A server that comes back finds the others without being told, also at another address.
func TestServerComesBackAtAnotherAddress(t *testing.T) {
	cfg := config("b", "global")
	cfg.PeersFile = filepath.Join(t.TempDir(), "peers.json")
	a, b := start(t, config("a", "global")), start(t, cfg)
	join(t, b, a)
	a.sees(t, map[string]string{"a": "alive", "b": "alive"})
	before, _ := a.Member("b")
	b.stop()
	cfg.Self.RPC = "127.0.0.1:2"
	b = start(t, cfg)
	if m, ok := b.Member("a"); !ok || m.RPC != "127.0.0.1:1" {
		t.Errorf("b remembers a as %+v, %v", m, ok)
	}
	b.sees(t, map[string]string{"a": "alive", "b": "alive"})
	deadline := time.After(waitAtMost)
	for {
		changed := a.Changed()
		m, _ := a.Member("b")
		if m.Status == gossip.StatusAlive && m.RPC == "127.0.0.1:2" && m.Port != before.Port {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("a knows of b: %+v", m)
		}
	}
}

// Who does not have the key is not let in.
func TestOtherKeyIsRefused(t *testing.T) {
	a, b := start(t, config("a", "global", key(t))), start(t, config("b", "global", key(t)))
	if n, err := b.Join(t.Context(), []string{a.Addr().String()}); err == nil {
		t.Errorf("joined %d without the key", n)
	}
	a.sees(t, map[string]string{"a": "alive"})
}

// Strangers who send whatever comes to their mind, and hold connections open, keep nobody from the pool.
func TestGarbageIsIgnored(t *testing.T) {
	for _, keys := range [][][]byte{nil, {key(t)}} {
		a, b := start(t, config("a", "global", keys...)), start(t, config("b", "global", keys...))
		rng := mrand.New(mrand.NewPCG(1, 2))
		udp, err := net.Dial("udp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			packet := make([]byte, rng.IntN(1400)+1)
			for i := range packet {
				packet[i] = byte(rng.IntN(256))
			}
			packet[0] = byte(rng.IntN(16)) // a kind of message, more often than not
			if _, err := udp.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
		if err := udp.Close(); err != nil {
			t.Fatal(err)
		}
		var idle []net.Conn
		for range 100 {
			c, err := net.Dial("tcp", a.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte{byte(rng.IntN(16)), 1, 2, 3}); err != nil {
				continue // it is one too many
			}
			idle = append(idle, c)
		}
		eventually(t, "b is let in", func() error {
			_, err := b.Join(t.Context(), []string{a.Addr().String()})
			return err
		})
		a.sees(t, map[string]string{"a": "alive", "b": "alive"})
		for _, c := range idle {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		a.stop()
		b.stop()
	}
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(waitAtMost)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
