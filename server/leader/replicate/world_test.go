package replicate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// region is a region of one server that applies commands at once, and a keyring of its own that
// hides nothing: what it seals begins with the region's name.
type region struct {
	t        testing.TB
	name     string
	store    *state.Store
	endpoint *endpoint.Endpoint

	mu      sync.Mutex
	written int // commands
}

const rootKey = "00000001-0000-4000-8000-000000000000"

func newRegion(t testing.TB, name string) *region {
	r := &region{t: t, name: name, store: state.New()}
	r.endpoint = endpoint.New(endpoint.Config{Region: name, ACL: endpoint.ACLConfig{Enabled: true}}, r.store, r, nil, nil, nil, sealer{r})
	r.write(func(w *state.Writer) error {
		return w.PutRootKey(&nomadish.RootKey{KeyID: rootKey, State: nomadish.RootKeyActive})
	})
	return r
}

func (r *region) Seal(plain, bound []byte) (nomadish.Sealed, error) {
	return nomadish.Sealed{KeyID: rootKey, Data: slices.Concat([]byte(r.name), bound, plain)}, nil
}

func (r *region) Open(s nomadish.Sealed, bound []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(s.Data, slices.Concat([]byte(r.name), bound))
	if !ok {
		return nil, errors.New("it was sealed elsewhere")
	}
	return bytes.Clone(text), nil
}

func (r *region) MACs(purpose string, data []byte) ([]nomadish.KeyedHash, error) {
	sum := make([]byte, 32)
	copy(sum, r.name[:1]+string(data)+purpose)
	return []nomadish.KeyedHash{{KeyID: rootKey, Sum: sum}}, nil
}

// sealer is the region's keyring as its endpoint knows it.
type sealer struct{ *region }

func (sealer) Verify(string) (*nomadish.IdentityClaims, error) { return nil, nomadish.ErrDenied }
func (sealer) Sign(*nomadish.IdentityClaims) (string, error)   { return "", nomadish.ErrDenied }
func (sealer) Remove(context.Context, string, bool) (uint64, error) {
	return 0, nomadish.ErrDenied
}

func (sealer) Rotate(context.Context, *nomadish.KeyringRotateRequest) (*nomadish.RootKey, error) {
	return nil, nomadish.ErrDenied
}

func (sealer) SetRecovery(context.Context, *nomadish.RecoveryKeyRequest) (*nomadish.RecoveryKey, uint64, error) {
	return nil, 0, nomadish.ErrDenied
}

// apply writes to the state, all or nothing.
func (r *region) apply(f func(w *state.Writer) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	txn := r.store.Begin()
	w, err := txn.Writer(r.store.Reader().Index()+1, time.Unix(1, 0))
	if err != nil {
		return err
	}
	if err := f(w); err != nil {
		txn.Abort()
		return err
	}
	return errors.Join(w.Finish(), txn.Commit())
}

func (r *region) write(f func(w *state.Writer) error) {
	r.t.Helper()
	if err := r.apply(f); err != nil {
		r.t.Fatal(err)
	}
}

// Propose applies a command.
func (r *region) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	r.mu.Lock()
	r.written++
	r.mu.Unlock()
	err := r.apply(func(w *state.Writer) error {
		_, err := c.Apply(w)
		return err
	})
	return r.store.Reader().Index(), nil, err
}

// commands counts what was proposed.
func (r *region) commands() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

func (r *region) propose(c fsm.Command) {
	r.t.Helper()
	if _, _, err := r.Propose(r.t.Context(), c); err != nil {
		r.t.Fatalf("%s: %T: %v", r.name, c, err)
	}
}

func (r *region) token(n int, secret string, global bool) *nomadish.ACLToken {
	t := &nomadish.ACLToken{AccessorID: id(n), Name: secret, Type: nomadish.ACLTokenManagement, Global: global}
	if old, err := r.store.Reader().ACLTokenByAccessor(nil, t.AccessorID); err == nil {
		t.ModifyIndex = old.ModifyIndex
	}
	t.Secret, _ = r.Seal([]byte(secret), t.SealedBinding())
	hashes, _ := r.MACs(nomadish.SecretPurpose, []byte(secret))
	t.SecretHash = hashes[0]
	return t
}

func id(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

// rows asks the region as another one's servers do, waiting as the API does.
func (r *region) rows(ctx context.Context, ask nomadish.SharedQuery) (*nomadish.SharedRows, error) {
	ctx = nomadish.WithCaller(ctx, nomadish.Caller{Kind: nomadish.CallerManagement})
	waiting, cancel := context.WithTimeout(ctx, ask.Wait)
	defer cancel()
	for {
		ws := memdb.NewWatchSet()
		out, index, err := r.endpoint.SharedRows(ctx, ws, ask.Kind, max(ask.Index, ask.From), ask.Known)
		if err != nil || ask.Index == 0 || index > ask.Index || waiting.Err() != nil {
			return out, err
		}
		_ = ws.WatchCtx(waiting)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// shown is all that a region shares, one line each, without what differs by region.
func (r *region) shown() string {
	var lines []string
	s := r.store.Reader()
	add := func(kind string, v any) {
		text, err := nomadish.EncodeJSON(v)
		if err != nil {
			r.t.Fatal(err)
		}
		lines = append(lines, kind+" "+string(text))
	}
	for q := range s.Quotas(nil, "") {
		row := *q
		row.CreateIndex, row.ModifyIndex = 0, 0
		add("quota", row)
	}
	for p := range s.NodePools(nil) {
		row := *p
		row.CreateIndex, row.ModifyIndex = 0, 0
		add("pool", row)
	}
	for n := range s.Namespaces(nil) {
		row := *n
		row.CreateIndex, row.ModifyIndex = 0, 0
		add("namespace", row)
	}
	for p := range s.ACLPolicies(nil, "") {
		row := *p
		row.CreateIndex, row.ModifyIndex = 0, 0
		add("policy", row)
	}
	for role := range all(s.ACLRoles(nil, "")) {
		add("role", []any{role.ID, role.Name, role.Policies})
	}
	for m := range s.ACLAuthMethods(nil) {
		secret := ""
		if m.Secrets != nil {
			plain, err := r.Open(*m.Secrets, m.SealedBinding())
			secret = fmt.Sprint(string(plain), err)
		}
		add("method", []any{m.Name, m.TokenLocality, m.MaxTokenTTL, secret})
	}
	for b := range all(s.ACLBindingRules(nil, "")) {
		add("rule", []any{b.ID, b.AuthMethod, b.BindName})
	}
	for t := range globals(all(s.ACLTokens(nil, ""))) {
		plain, err := r.Open(t.Secret, t.SealedBinding())
		hashes, _ := r.MACs(nomadish.SecretPurpose, plain)
		add("token", []any{t.AccessorID, t.Name, t.Policies, string(plain), err, bytes.Equal(hashes[0].Sum, t.SecretHash.Sum)})
	}
	return strings.Join(lines, "\n")
}

func all[T any](rows iter.Seq[T], err error) iter.Seq[T] {
	if err != nil {
		panic(err)
	}
	return rows
}
