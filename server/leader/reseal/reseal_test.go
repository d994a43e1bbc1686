package reseal_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/reseal"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/servertest"
	"github.com/nomadish/nomadish/server/state"
)

// leader is what a server has while it leads.
type leader struct {
	*servertest.Server
	ring      *secrets.Keyring
	variables *endpoint.Variables
	walker    *reseal.Walker
	commands  atomic.Int64 // that sealed variables anew
	onReseal  func()       // called before each of them
}

// Propose implements the parts' Proposer.
func (l *leader) Propose(ctx context.Context, c fsm.Command) (uint64, any, error) {
	if _, ok := c.(*fsm.ResealVariables); ok {
		l.commands.Add(1)
		if l.onReseal != nil {
			l.onReseal()
		}
	}
	result, err := l.Server.Propose(ctx, c)
	return result.Index, result.Value, err
}

// noTimers stands for the timers of locks.
type noTimers struct{}

func (noTimers) Renew(*nomadish.SealedVariable) error { return nil }

func lead(t *testing.T, s *servertest.Server, wrapKey string) *leader {
	t.Helper()
	l := &leader{Server: s}
	ring, err := secrets.New(secrets.Config{Wrappers: []secrets.Wrapper{secrets.NewFile(wrapKey)}}, s.Store(), l)
	if err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the keyring", func() error { return ring.Ready(t.Context()) })
	l.ring, l.variables = ring, endpoint.NewVariables(s.Store(), l, ring, noTimers{})
	l.walker = reseal.New(reseal.Config{Retry: 100 * time.Millisecond}, s.Store(), l, ring, reseal.Variables(s.Store(), ring))
	return l
}

func root(ctx context.Context) context.Context {
	return nomadish.WithCaller(ctx, nomadish.Caller{Kind: nomadish.CallerManagement})
}

func (l *leader) set(ctx context.Context, path, value string) error {
	v := &nomadish.Variable{VariableMetadata: nomadish.VariableMetadata{Path: path}, Items: nomadish.VariableItems{"value": value}}
	_, _, err := l.variables.Set(root(ctx), v, nil)
	return err
}

// left says whether nothing is sealed with another key than the active one, and all others
// are out of use.
func left(r state.Reader) error {
	active := r.ActiveRootKey(nil)
	for k := range r.RootKeys(nil) {
		if k.KeyID != active.KeyID && (k.State != nomadish.RootKeyDeprecated || r.RootKeyUsed(k.KeyID)) {
			return fmt.Errorf("root key %s is %s, used: %v", k.KeyID, k.State, r.RootKeyUsed(k.KeyID))
		}
	}
	return nil
}

// writer writes variables of its own and knows what was acknowledged.
type writer struct {
	name  string
	acked map[string]int // by path
	tried map[string]int
}

// write writes until ctx ends, to whoever leads.
func (w *writer) write(ctx context.Context, leader *atomic.Pointer[leader]) {
	for n := 1; ctx.Err() == nil; n++ {
		path := fmt.Sprintf("%s/%d", w.name, n%10)
		w.tried[path] = n
		if err := leader.Load().set(ctx, path, fmt.Sprint(n)); err == nil {
			w.acked[path] = n
		}
		time.Sleep(time.Millisecond)
	}
}

// A full rotation under writes loses nothing, also when the leader dies in the middle of it:
// the next one goes on with what is left.
func TestRotateUnderWrites(t *testing.T) {
	wrapKey := filepath.Join(t.TempDir(), "wrap.key")
	synctest.Test(t, func(t *testing.T) {
		c := servertest.Start(t, 3)
		first := lead(t, c.Leader(t), wrapKey)
		const still = 600 // variables that nobody writes meanwhile: more than two batches
		for i := range still {
			if err := first.set(t.Context(), fmt.Sprintf("still/%d", i), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		var now atomic.Pointer[leader]
		now.Store(first)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var writers []*writer
		for i := range 4 {
			w := &writer{name: fmt.Sprint("w", i), acked: map[string]int{}, tried: map[string]int{}}
			writers = append(writers, w)
			running.Go(func() { w.write(ctx, &now) })
		}
		if _, err := first.ring.Rotate(ctx, &nomadish.KeyringRotateRequest{Full: true}); err != nil {
			t.Fatal(err)
		}
		first.onReseal = func() {
			if first.commands.Load() == 2 { // one batch is done
				c.Kill(t, first.Server)
			}
		}
		term, end := context.WithCancel(ctx)
		var died sync.WaitGroup
		died.Go(func() { _ = first.walker.Run(term) })
		next := lead(t, c.Leader(t, first.Server), wrapKey)
		end()
		died.Wait()
		if left(next.State()) == nil || first.commands.Load() < 2 {
			t.Errorf("the leader died after %d batches with nothing left to do: the test shows nothing", first.commands.Load())
		}
		now.Store(next)
		running.Go(func() { _ = next.walker.Run(ctx) })
		servertest.Eventually(t, "the end of the rotation", func() error { return left(next.State()) })
		cancel()
		running.Wait()

		read := func(path string) (n int) {
			v, _, err := next.variables.Read(root(t.Context()), nil, "default", path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return -1
			}
			_, _ = fmt.Sscan(v.Items["value"], &n)
			return n
		}
		for i := range still {
			if got := read(fmt.Sprintf("still/%d", i)); got != i {
				t.Errorf("still/%d is %d", i, got)
			}
		}
		for _, w := range writers {
			for path, acked := range w.acked {
				if got := read(path); got < acked || got > w.tried[path] {
					t.Errorf("%s is %d; %d was acknowledged and %d tried last", path, got, acked, w.tried[path])
				}
			}
		}
	})
}

// damaged is a keyring that can't open one variable.
type damaged struct {
	reseal.Sealer
	path string
}

func (d damaged) Open(s nomadish.Sealed, bound []byte) ([]byte, error) {
	if strings.Contains(string(bound), d.path) {
		return nil, errors.New("damaged")
	}
	return d.Sealer.Open(s, bound)
}

// A variable that can't be opened keeps its key in use, and no other from being sealed anew.
func TestDamagedVariable(t *testing.T) {
	wrapKey := filepath.Join(t.TempDir(), "wrap.key")
	synctest.Test(t, func(t *testing.T) {
		c := servertest.Start(t, 1)
		l := lead(t, c.Leader(t), wrapKey)
		for _, path := range []string{"a", "bad", "c"} {
			if err := l.set(t.Context(), path, "v"); err != nil {
				t.Fatal(err)
			}
		}
		old := l.State().ActiveRootKey(nil).KeyID
		if _, err := l.ring.Rotate(t.Context(), &nomadish.KeyringRotateRequest{Full: true}); err != nil {
			t.Fatal(err)
		}
		walker := reseal.New(reseal.Config{}, l.Store(), l, l.ring, reseal.Variables(l.Store(), damaged{l.ring, "bad"}))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = walker.Run(ctx) })
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		running.Wait()
		var sealed []string
		for v := range l.State().Variables(nil, state.AnyNamespace, "", nomadish.VariableName{}) {
			if v.Items.KeyID == old {
				sealed = append(sealed, v.Path)
			}
		}
		if fmt.Sprint(sealed) != "[bad]" {
			t.Errorf("still sealed with the former key: %v, want the damaged one", sealed)
		}
		if key, err := l.State().RootKey(nil, old); err != nil || key.State != nomadish.RootKeyRekeying {
			t.Errorf("the former key is %+v, %v; want it rekeying", key, err)
		}
	})
}
