package secrets_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/state"
)

var epoch = time.Unix(1_700_000_000, 0)

// world is a state whose commands go straight to it, through their encoding as in the log.
type world struct {
	t     testing.TB
	store *state.Store

	mu      sync.Mutex
	machine *fsm.FSM
	index   uint64
	now     time.Time
	log     [][]byte
}

func newWorld(t testing.TB) *world {
	store := state.New()
	w := &world{t: t, store: store, machine: fsm.New(store, fsm.Config{}), now: epoch}
	w.apply(&fsm.TermStart{Term: 1, ClusterID: nomadish.NewID()})
	return w
}

func (w *world) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	entry, err := fsm.Encode(c, "", w.now)
	if err != nil {
		return 0, nil, err
	}
	w.index++
	w.log = append(w.log, entry)
	result := w.machine.Apply(&raft.Log{Index: w.index, Type: raft.LogCommand, Data: entry}).(fsm.Result)
	return result.Index, result.Value, result.Err
}

func (w *world) apply(c fsm.Command) {
	w.t.Helper()
	if _, _, err := w.Propose(context.Background(), c); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// keyring is a server's, without a key in the state.
func (w *world) keyring(cfg secrets.Config) *secrets.Keyring {
	w.t.Helper()
	if len(cfg.Wrappers) == 0 {
		cfg.Wrappers = []secrets.Wrapper{secrets.NewFile(filepath.Join(w.t.TempDir(), "wrap.key"))}
	}
	cfg.Now = w.clock
	k, err := secrets.New(cfg, w.store, w)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// ready is a keyring with a first root key.
func (w *world) ready(cfg secrets.Config) *secrets.Keyring {
	w.t.Helper()
	k := w.keyring(cfg)
	if err := k.Ready(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return k
}

func (w *world) rotate(k *secrets.Keyring, req nomadish.KeyringRotateRequest) *nomadish.RootKey {
	w.t.Helper()
	key, err := k.Rotate(w.t.Context(), &req)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// states are those of all root keys, by ID.
func (w *world) states() map[string]nomadish.RootKeyState {
	states := map[string]nomadish.RootKeyState{}
	for k := range w.store.Reader().RootKeys(nil) {
		states[k.KeyID] = k.State
	}
	return states
}
