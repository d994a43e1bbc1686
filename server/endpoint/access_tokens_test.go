package endpoint_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

// guardedWorld is a world with access control and keys.
func guardedWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, endpoint.Config{ACL: endpoint.ACLConfig{Enabled: true}})
	if err := w.keyring.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) putPolicy(name, rules string) {
	w.t.Helper()
	w.apply(&fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{{Name: name, Rules: rules}}})
}

// putToken stores a token and returns its secret.
func (w *world) putToken(change func(*nomadish.ACLToken)) string {
	w.t.Helper()
	secret := nomadish.NewID()
	token := &nomadish.ACLToken{AccessorID: nomadish.NewID(), Name: "n", Type: nomadish.ACLTokenClient}
	change(token)
	hashes, err := w.keyring.MACs(nomadish.SecretPurpose, []byte(secret))
	if err != nil {
		w.t.Fatal(err)
	}
	token.SecretHash = hashes[0]
	if token.Secret, err = w.keyring.Seal([]byte(secret), token.SealedBinding()); err != nil {
		w.t.Fatal(err)
	}
	w.apply(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{token}})
	return secret
}

func (w *world) who(token string) (nomadish.Caller, error) {
	return w.Authenticate(w.t.Context(), nomadish.Credentials{Token: nomadish.SecretText(token), Addr: "a"})
}

// Who a token makes its bearer: what its policies and those of its roles give together, for as
// long as it is good; without a token, what the policy "anonymous" gives.
func TestWhoATokenMakes(t *testing.T) {
	w := guardedWorld(t)
	w.putPolicy("nodes", `node { policy = "read" }`)
	w.putPolicy("agents", `agent { policy = "read" }`)
	w.putPolicy("gone", `operator { policy = "write" }`)
	role := &nomadish.ACLRole{ID: nomadish.NewID(), Name: "r", Policies: []*nomadish.ACLRolePolicyLink{{Name: "agents"}, {Name: "gone"}}}
	w.apply(&fsm.UpsertACLRoles{Roles: []*nomadish.ACLRole{role}})
	w.apply(&fsm.DeleteACLPolicies{Names: []string{"gone"}})
	soon, past := epoch.Add(time.Hour), epoch
	tokens := map[string]string{
		"policy": w.putToken(func(t *nomadish.ACLToken) { t.Policies = []string{"nodes"} }),
		"role":   w.putToken(func(t *nomadish.ACLToken) { t.Roles = []*nomadish.ACLTokenRoleLink{{ID: role.ID}} }),
		"both": w.putToken(func(t *nomadish.ACLToken) {
			t.Policies, t.Roles = []string{"nodes"}, []*nomadish.ACLTokenRoleLink{{ID: role.ID}}
		}),
		"gone": w.putToken(func(t *nomadish.ACLToken) {
			t.Policies, t.Roles = []string{"gone"}, []*nomadish.ACLTokenRoleLink{{ID: nomadish.NewID()}}
		}),
		"management": w.putToken(func(t *nomadish.ACLToken) { t.Type = nomadish.ACLTokenManagement }),
		"soon":       w.putToken(func(t *nomadish.ACLToken) { t.Policies, t.ExpirationTime = []string{"nodes"}, &soon }),
		"expired":    w.putToken(func(t *nomadish.ACLToken) { t.Type, t.ExpirationTime = nomadish.ACLTokenManagement, &past }),
		"unknown":    nomadish.NewID(),
		"long":       strings.Repeat("x", 1<<20),
		"a JWT":      "e30.e30.e30",
	}
	type answer struct{ in, nodes, agents, management bool }
	for name, want := range map[string]answer{
		"policy": {in: true, nodes: true}, "role": {in: true, agents: true}, "both": {in: true, nodes: true, agents: true}, "gone": {in: true},
		"management": {true, true, true, true}, "soon": {in: true, nodes: true},
		"expired": {}, "unknown": {}, "long": {}, "a JWT": {},
	} {
		c, err := w.who(tokens[name])
		got := answer{err == nil, c.Allows(nomadish.PermNodeRead, "", ""), c.Allows(nomadish.PermAgentRead, "", ""), c.Management()}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if err != nil {
			wantKind(t, err, nomadish.KindDenied, "Permission denied")
		}
		if name == "soon" && !c.Expires.Equal(soon) {
			t.Errorf("it ends at %s, want %s", c.Expires, soon)
		}
	}
	for range 2 {
		c, err := w.who("")
		if err != nil || c.Kind != nomadish.CallerAnonymous {
			t.Fatalf("nobody: %+v, %v", c, err)
		}
		_, err = w.read().ACLPolicy(nil, "anonymous")
		if there := err == nil; c.Allows(nomadish.PermNodeRead, "", "") != there || (c.Check(nomadish.PermByItem, "", "") == nil) != there {
			t.Errorf("without a token nodes may be read, though there is a policy: %t", there)
		}
		w.putPolicy("anonymous", `node { policy = "read" }`)
	}
}

// A token is found after the keyring has another key, and lost with its policy's rights at once.
func TestTokensOutliveKeys(t *testing.T) {
	w := guardedWorld(t)
	w.putPolicy("nodes", `node { policy = "read" }`)
	secret := w.putToken(func(t *nomadish.ACLToken) { t.Policies = []string{"nodes"} })
	if _, err := w.keyring.Rotate(t.Context(), &nomadish.KeyringRotateRequest{}); err != nil {
		t.Fatal(err)
	}
	if c, err := w.who(secret); err != nil || !c.Allows(nomadish.PermNodeRead, "", "") {
		t.Errorf("after the rotation: %+v, %v", c, err)
	}
	w.putPolicy("nodes", `node { policy = "deny" }`)
	if c, err := w.who(secret); err != nil || c.Allows(nomadish.PermNodeRead, "", "") {
		t.Errorf("after its policy has changed: %+v, %v", c, err)
	}
}

// Without keys nobody can be told from anybody: that is no denial, and may be asked again.
func TestTokensWithoutKeys(t *testing.T) {
	w := newWorld(t, endpoint.Config{ACL: endpoint.ACLConfig{Enabled: true}})
	_, err := w.who(nomadish.NewID())
	if nomadish.KindOf(err) != nomadish.KindNoLeader {
		t.Errorf("got %v, want no leader", err)
	}
}

// A node is told who its callers are once it is registered: before that it is nobody itself.
func TestNodesAskWhoCallersAre(t *testing.T) {
	w := guardedWorld(t)
	w.putPolicy("nodes", `node { policy = "read" }`)
	secret := w.putToken(func(t *nomadish.ACLToken) { t.Policies = []string{"nodes"} })
	ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerNode, ID: nodeID(0)})
	_, err := w.ResolveToken(ctx, secret)
	if nomadish.KindOf(err) != nomadish.KindNoLeader {
		t.Errorf("before it is registered: %v", err)
	}
	w.node(0)
	got, err := w.ResolveToken(ctx, secret)
	if err != nil || got.Kind != nomadish.CallerToken || len(got.Policies) != 1 || got.Policies[0].Name != "nodes" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = w.ResolveToken(ctx, nomadish.NewID())
	wantKind(t, err, nomadish.KindDenied, "Permission denied")
}

// Whoever submits a job needs the right to what it mounts.
func TestMountsNeedRights(t *testing.T) {
	w := guardedWorld(t)
	w.putPolicy("jobs", `namespace "default" { policy = "write" } host_volume "data-*" { policy = "read" } host_volume "data-open" { policy = "write" }`)
	caller, err := w.who(w.putToken(func(t *nomadish.ACLToken) { t.Policies = []string{"jobs"} }))
	if err != nil {
		t.Fatal(err)
	}
	ctx := nomadish.WithCaller(t.Context(), caller)
	for _, tt := range []struct {
		source   string
		readOnly bool
		denied   bool
	}{{"data-a", true, false}, {"data-a", false, true}, {"data-open", false, false}, {"secrets", true, true}} {
		job := newJob("web")
		job.TaskGroups[0].Volumes = map[string]*nomadish.VolumeRequest{"v": {Name: "v", Type: "host", Source: tt.source, ReadOnly: tt.readOnly}}
		_, _, err := w.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: job})
		_, _, planErr := w.PlanJob(ctx, &nomadish.JobPlanRequest{Job: job})
		for _, err := range []error{err, planErr} {
			if denied := err != nil && nomadish.KindOf(err) == nomadish.KindDenied; denied != tt.denied {
				t.Errorf("%s, read only %t: %v, want it to be denied: %t", tt.source, tt.readOnly, err, tt.denied)
			}
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	w := guardedWorld(b)
	w.putPolicy("a", `namespace "*" { policy = "read" } node { policy = "read" }`)
	w.putPolicy("b", `namespace "web-*" { policy = "write" }`)
	secret := w.putToken(func(t *nomadish.ACLToken) { t.Policies = []string{"a", "b"} })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.who(secret); err != nil {
			b.Fatal(err)
		}
	}
}

// A token that was made a moment ago elsewhere is good here as well: before one is refused, this
// server asks for the newest state.
func TestTokensMadeElsewhere(t *testing.T) {
	syncs, arrive := 0, func() {}
	w := newWorld(t, endpoint.Config{ACL: endpoint.ACLConfig{Enabled: true}, Sync: func(context.Context) error {
		syncs++
		arrive()
		return nil
	}})
	if err := w.keyring.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	known := w.putToken(func(t *nomadish.ACLToken) { t.Type = nomadish.ACLTokenManagement })
	if _, err := w.who(known); err != nil || syncs != 0 {
		t.Errorf("a token that is known: %v, after %d questions for the newest state", err, syncs)
	}
	if _, err := w.who(nomadish.NewID()); err == nil || syncs != 1 {
		t.Errorf("a token that is nowhere: %v, after %d questions", err, syncs)
	}
	token := &nomadish.ACLToken{AccessorID: nomadish.NewID(), Name: "n", Type: nomadish.ACLTokenManagement}
	secret := nomadish.NewID()
	hashes, err := w.keyring.MACs(nomadish.SecretPurpose, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	token.SecretHash = hashes[0]
	if token.Secret, err = w.keyring.Seal([]byte(secret), token.SealedBinding()); err != nil {
		t.Fatal(err)
	}
	arrive = func() { w.apply(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{token}}) }
	if c, err := w.who(secret); err != nil || !c.Management() || syncs != 2 {
		t.Errorf("a token that arrives: %+v, %v, after %d questions", c, err, syncs)
	}
}
