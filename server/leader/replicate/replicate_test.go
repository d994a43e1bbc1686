package replicate

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// fill makes something of every kind in a region.
func fill(r *region) {
	r.propose(&fsm.UpsertQuotas{Quotas: []*nomadish.QuotaSpec{{Name: "small", Limits: []*nomadish.QuotaLimit{{Region: "eu", RegionLimit: &nomadish.QuotaResources{CPU: nomadish.Ptr(5)}}}}}})
	r.propose(&fsm.UpsertNodePools{NodePools: []*nomadish.NodePool{{Name: "gpu", Meta: map[string]string{"a": "b"}}}})
	r.propose(&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: "web", Quota: "small"}, {Name: "default", Description: "ours"}}})
	r.propose(&fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{{Name: "read", Rules: `node { policy = "read" }`}, {Name: "gone"}}})
	r.propose(&fsm.UpsertACLRoles{Roles: []*nomadish.ACLRole{{ID: id(1), Name: "ops", Policies: []*nomadish.ACLRolePolicyLink{{Name: "read"}, {Name: "gone"}}}}})
	r.propose(&fsm.DeleteACLPolicies{Names: []string{"gone"}})
	secret, _ := r.Seal([]byte(`{"PemKey": "key"}`), (&nomadish.ACLAuthMethod{Name: "ci"}).SealedBinding())
	r.propose(&fsm.UpsertACLAuthMethods{Methods: []*nomadish.ACLAuthMethod{
		{Name: "ci", TokenLocality: "global", Config: &nomadish.ACLAuthMethodConfig{}, Secrets: &secret, CreateTime: time.Unix(5, 0).UTC()},
		{Name: "old", Config: &nomadish.ACLAuthMethodConfig{}},
	}})
	r.propose(&fsm.UpsertACLBindingRules{Rules: []*nomadish.ACLBindingRule{{ID: id(2), AuthMethod: "ci", BindName: "read"}, {ID: id(3), AuthMethod: "old"}}})
	r.propose(&fsm.DeleteACLAuthMethods{Names: []string{"old"}})
	r.propose(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{r.token(4, "all regions", true), r.token(5, "us alone", false)}})
}

// start runs a replicator of "eu" from "us" in a bubble; it is stopped with the test.
func start(t *testing.T, eu *region, source Source) *Replicator {
	r := New(Config{Region: "eu", Authoritative: "us"}, eu.store, eu, eu, source)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

func same(t *testing.T, us, eu *region) {
	t.Helper()
	if diff := cmp.Diff(us.shown(), eu.shown()); diff != "" {
		t.Errorf("what eu has differs from what us has (-us +eu):\n%s", diff)
	}
}

// What all regions share is in another region soon after it is made, changed or deleted in the
// authoritative one, under that region's own keys; and nothing else is touched there.
func TestReplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		us, eu := newRegion(t, "us"), newRegion(t, "eu")
		fill(us)
		eu.propose(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{eu.token(6, "eu alone", false), eu.token(7, "of an earlier life", true)}})
		eu.propose(&fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{{Name: "of an earlier life"}}})
		r := start(t, eu, us.rows)
		soon := func() { time.Sleep(5 * time.Second); synctest.Wait() }
		soon()
		same(t, us, eu)
		if _, err := eu.store.Reader().ACLTokenByAccessor(nil, id(6)); err != nil {
			t.Errorf("eu's own token: %v", err)
		}
		if _, err := eu.store.Reader().ACLTokenByAccessor(nil, id(5)); err == nil {
			t.Error("a local token of us is in eu")
		}
		written := eu.commands()
		time.Sleep(time.Hour)
		if now := eu.commands(); now != written {
			t.Errorf("%d commands while nothing changed", now-written)
		}
		us.propose(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{us.token(4, "renamed", true), us.token(8, "new", true)}})
		us.propose(&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: "web"}}})
		us.propose(&fsm.DeleteQuotas{Names: []string{"small"}})
		us.propose(&fsm.DeleteACLRoles{IDs: []string{id(1)}})
		us.propose(&fsm.UpsertACLRoles{Roles: []*nomadish.ACLRole{{ID: id(9), Name: "ops"}}}) // takes the other's name
		soon()
		same(t, us, eu)
		us.propose(&fsm.DeleteACLTokens{AccessorIDs: []string{id(4)}})
		us.propose(&fsm.DeleteACLTokens{AccessorIDs: []string{id(8)}})
		us.propose(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{us.token(8, "again", true)}}) // as many as before its deletion
		us.propose(&fsm.DeleteNodePools{Names: []string{"gpu"}})
		us.propose(&fsm.DeleteNamespaces{Names: []string{"web"}})
		soon()
		same(t, us, eu)
		for _, k := range r.Status().Kinds {
			if k.LastError != "" || len(k.Kept) > 0 || time.Since(k.LastSuccess) > time.Minute {
				t.Errorf("%+v", k)
			}
		}
	})
}

// While the authoritative region can't be asked all stays; then replication goes on where it was.
func TestReplicationResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		us, eu := newRegion(t, "us"), newRegion(t, "eu")
		fill(us)
		var cut atomic.Bool
		r := start(t, eu, func(ctx context.Context, ask nomadish.SharedQuery) (*nomadish.SharedRows, error) {
			if cut.Load() {
				return nil, nomadish.Errorf(nomadish.KindNoLeader, "no path to region us")
			}
			return us.rows(ctx, ask)
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		before := eu.shown()
		cut.Store(true)
		time.Sleep(time.Minute) // questions that were asked before are answered
		us.propose(&fsm.DeleteNodePools{Names: []string{"gpu"}})
		us.propose(&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: "later"}}})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if after := eu.shown(); after != before {
			t.Errorf("eu has changed while us was gone: %s", cmp.Diff(before, after))
		}
		for _, k := range r.Status().Kinds {
			if k.LastError == "" || time.Since(k.LastSuccess) < 5*time.Minute {
				t.Errorf("nothing is said of the failure: %+v", k)
			}
		}
		cut.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		same(t, us, eu)
	})
}

// What is gone in the authoritative region and in use here stays until it is not, and is told of;
// meanwhile changes come as soon as ever.
func TestKeepsWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		us, eu := newRegion(t, "us"), newRegion(t, "eu")
		fill(us)
		r := start(t, eu, us.rows)
		time.Sleep(5 * time.Second)
		node := &nomadish.Node{ID: id(20), NodePool: "gpu"}
		eu.write(func(w *state.Writer) error { return w.PutNode(node) })
		us.propose(&fsm.DeleteNodePools{Names: []string{"gpu"}})
		time.Sleep(3 * time.Minute)
		us.propose(&fsm.UpsertNodePools{NodePools: []*nomadish.NodePool{{Name: "cpu"}}})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, name := range []string{"gpu", "cpu"} {
			if _, err := eu.store.Reader().NodePool(nil, name); err != nil {
				t.Error(err)
			}
		}
		if k := r.Status().Kinds[1]; len(k.Kept) != 1 || !strings.HasPrefix(k.Kept[0], "gpu: ") || k.LastError != "" {
			t.Errorf("%+v", k)
		}
		eu.write(func(w *state.Writer) error { return w.DeleteNode(node.ID) })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		same(t, us, eu)
	})
}

// A row that is refused here does not hold up the others.
func TestRefusedRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		us, eu := newRegion(t, "us"), newRegion(t, "eu")
		for n := range 10 {
			us.propose(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{us.token(n, "token "+id(n)[7:8], true)}})
		}
		eu.propose(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{eu.token(3, "eu alone", false)}})
		r := start(t, eu, us.rows)
		time.Sleep(time.Minute)
		synctest.Wait()
		found := 0
		for range globals(all(eu.store.Reader().ACLTokens(nil, ""))) {
			found++
		}
		if found != 9 {
			t.Errorf("%d of the 9 other tokens are there", found)
		}
		if k := r.Status().Kinds[7]; !strings.Contains(k.LastError, "a local token of this region has that accessor ID") {
			t.Errorf("%+v", k)
		}
		eu.propose(&fsm.DeleteACLTokens{AccessorIDs: []string{id(3)}})
		time.Sleep(time.Minute)
		synctest.Wait()
		same(t, us, eu)
	})
}

// More than fits into an answer comes in several, and a region that was begun anew is one that
// has nothing.
func TestPagesAndAnotherLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		us, eu := newRegion(t, "us"), newRegion(t, "eu")
		for n := range 1500 {
			us.propose(&fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{{Name: "p" + id(n)[:8], Rules: "# " + strings.Repeat("x", 2000)}}})
		}
		var source atomic.Pointer[region]
		source.Store(us)
		var answers atomic.Int32
		start(t, eu, func(ctx context.Context, ask nomadish.SharedQuery) (*nomadish.SharedRows, error) {
			out, err := source.Load().rows(ctx, ask)
			if err == nil && len(out.Rows) > 0 && ask.Kind == nomadish.SharedPolicies {
				answers.Add(1)
			}
			return out, err
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		same(t, us, eu)
		if n := answers.Load(); n < 3 {
			t.Errorf("%d answers", n)
		}
		another := newRegion(t, "us")
		fill(another)
		source.Store(another)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		same(t, another, eu)
	})
}

// Whatever is done in the authoritative region, and however often asking or writing fails in
// between, the other region has the same in the end.
func TestConverges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for run := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, run))
		us, eu := newRegion(t, "us"), newRegion(t, "eu")
		failing := true
		fault := func() error {
			if failing && rng.IntN(6) == 0 {
				return nomadish.Errorf(nomadish.KindNoLeader, "just now not")
			}
			return nil
		}
		r := New(Config{Region: "eu", Authoritative: "us"}, eu.store, flaky{eu, fault}, eu, func(ctx context.Context, ask nomadish.SharedQuery) (*nomadish.SharedRows, error) {
			if err := fault(); err != nil {
				return nil, err
			}
			ask.Wait = time.Nanosecond
			return us.rows(ctx, ask)
		})
		loops := loopsOf(r)
		for range 150 {
			change(us, rng)
			if rng.IntN(3) == 0 {
				_ = loops[rng.IntN(len(loops))].pass(t.Context()) // it may fail
			}
			if rng.IntN(60) == 0 {
				loops = loopsOf(r) // another server leads
			}
		}
		failing = false
		for range 3 {
			for _, l := range loops {
				_ = l.pass(t.Context()) // what it needs may come later
			}
		}
		if same(t, us, eu); t.Failed() {
			t.Fatalf("seed %d, run %d", seed, run)
		}
	}
}

func loopsOf(r *Replicator) []*loop {
	var loops []*loop
	for _, k := range r.kinds {
		loops = append(loops, &loop{r: r, kind: k, known: -1})
	}
	return loops
}

// flaky is a region whose leader is not always there.
type flaky struct {
	*region
	fault func() error
}

func (f flaky) Propose(ctx context.Context, c fsm.Command) (uint64, any, error) {
	if err := f.fault(); err != nil {
		return 0, nil, err
	}
	return f.region.Propose(ctx, c)
}

// change makes, changes or deletes something, if that is possible.
func change(r *region, rng *rand.Rand) {
	n := rng.IntN(6)
	name, text := id(n)[:8], id(rng.IntN(1000))
	pick := func(commands ...fsm.Command) {
		_, _, err := r.Propose(r.t.Context(), commands[rng.IntN(len(commands))])
		var refused *nomadish.Error
		if err != nil && !errors.As(err, &refused) {
			r.t.Fatal(err)
		}
	}
	s := r.store.Reader()
	role := &nomadish.ACLRole{ID: id(n), Name: "role " + id(rng.IntN(6)), Policies: []*nomadish.ACLRolePolicyLink{{Name: id(rng.IntN(6))[:8]}}}
	if old, err := s.ACLRole(nil, role.ID); err == nil {
		role.ModifyIndex = old.ModifyIndex
	}
	method := &nomadish.ACLAuthMethod{Name: name, TokenLocality: "local", MaxTokenTTL: nomadish.TextDuration(rng.IntN(9)), Config: &nomadish.ACLAuthMethodConfig{}}
	if old, err := s.ACLAuthMethod(nil, name); err == nil {
		method.ModifyIndex = old.ModifyIndex
	}
	if rng.IntN(2) == 0 {
		sealed, _ := r.Seal([]byte(text), method.SealedBinding())
		method.Secrets = &sealed
	}
	rule := &nomadish.ACLBindingRule{ID: id(n), AuthMethod: id(rng.IntN(6))[:8], BindName: text}
	if old, err := s.ACLBindingRule(nil, rule.ID); err == nil {
		rule.ModifyIndex = old.ModifyIndex
	}
	quota := ""
	if rng.IntN(2) == 0 {
		quota = id(rng.IntN(6))[:8]
	}
	pick(
		&fsm.UpsertQuotas{Quotas: []*nomadish.QuotaSpec{{Name: name, Description: text}}}, &fsm.DeleteQuotas{Names: []string{name}},
		&fsm.UpsertNodePools{NodePools: []*nomadish.NodePool{{Name: name, Description: text}}}, &fsm.DeleteNodePools{Names: []string{name}},
		&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: name, Description: text, Quota: quota}}}, &fsm.DeleteNamespaces{Names: []string{name}},
		&fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{{Name: name, Description: text}}}, &fsm.DeleteACLPolicies{Names: []string{name}},
		&fsm.UpsertACLRoles{Roles: []*nomadish.ACLRole{role}}, &fsm.DeleteACLRoles{IDs: []string{role.ID}},
		&fsm.UpsertACLAuthMethods{Methods: []*nomadish.ACLAuthMethod{method}}, &fsm.DeleteACLAuthMethods{Names: []string{name}},
		&fsm.UpsertACLBindingRules{Rules: []*nomadish.ACLBindingRule{rule}}, &fsm.DeleteACLBindingRules{IDs: []string{rule.ID}},
		&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{r.token(n, "secret "+name+text[4:8], true)}}, &fsm.DeleteACLTokens{AccessorIDs: []string{id(n)}},
	)
}
