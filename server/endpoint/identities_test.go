package endpoint_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

// identityJob has a task with a second identity.
func identityJob(id string) *nomadish.Job {
	job := newJob(id)
	job.TaskGroups[0].Tasks[0].Identities = []*nomadish.WorkloadIdentity{{Name: "vault", Audience: []string{"vault.io"}, File: true, TTL: time.Hour}}
	return job
}

func (w *world) sign(node int, want ...nomadish.IdentityRequest) []nomadish.SignedIdentity {
	w.t.Helper()
	resp, err := w.SignIdentities(w.t.Context(), nodeID(node), &nomadish.IdentitiesRequest{Identities: want})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Identities
}

// identityWorld has two nodes, and an allocation of the job on the first one.
func identityWorld(t testing.TB, cfg endpoint.Config, job *nomadish.Job) (w *world, alloc string) {
	w = newWorld(t, cfg)
	if err := w.keyring.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.node(0)
	w.node(1)
	ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerManagement})
	if _, _, err := w.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: job}); err != nil {
		t.Fatal(err)
	}
	return w, w.place(*job.ID, 0, nomadish.AllocClientRunning)
}

// A node gets the identities of the tasks that run on it, with what the cluster knows of them.
func TestIdentityClaims(t *testing.T) {
	w, alloc := identityWorld(t, endpoint.Config{Issuer: "https://nomad.example.com", Region: "eu"}, identityJob("web"))
	got := w.sign(0, nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "vault"}, nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "default"})
	var first nomadish.IdentityClaims
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(got[0].JWT.Reveal(), ".")[1])
	if err != nil || json.Unmarshal(payload, &first) != nil {
		t.Fatalf("%q, %v", payload, err)
	}
	now := epoch.Unix()
	want := nomadish.IdentityClaims{
		Namespace: "default", JobID: "web", AllocationID: alloc, Task: "t", Issuer: "https://nomad.example.com",
		Subject: "eu:default:web:g:t:vault", Audience: nomadish.Audience{"vault.io"}, IssuedAt: now, NotBefore: now, Expires: now + 3600,
	}
	if diff := cmp.Diff(first, want, cmpopts.IgnoreFields(want, "ID")); diff != "" || first.ID == "" {
		t.Errorf("claims, with ID %q (-got +want):\n%s", first.ID, diff)
	}
	if _, err := w.keyring.Verify(got[0].JWT.Reveal()); nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("an identity for Vault is taken for one of ours: %v", err)
	}
	claims, err := w.keyring.Verify(got[1].JWT.Reveal())
	if err != nil || claims.Expires != 0 || claims.Subject != "eu:default:web:g:t:default" || got[1].Expires != 0 {
		t.Errorf("default identity: %+v, %v", claims, err)
	}
}

// A namespace's extra claims say what its operators mean, about the workload; jobs may ask
// for those that are offered, and put nothing into them.
func TestExtraClaims(t *testing.T) {
	job := identityJob("web")
	job.Meta = map[string]string{"team": "${job.id}", "bad": "x"}
	job.TaskGroups[0].Tasks[0].Identities[0].ExtraClaims = []string{"where", "unknown", "id"}
	w, alloc := identityWorld(t, endpoint.Config{Region: "eu"}, job)
	ns := &nomadish.Namespace{
		Name:                "default",
		RequiredExtraClaims: map[string]string{"id": "${job.region}:${job.namespace}:${job.id}", "team": "t-${job.meta.team}", "odd": "${env.SECRET} $${ ${"},
		OptionalExtraClaims: map[string]string{"where": "${node.datacenter}/${ group.name }/${task.name}", "other": "x", "id": "forged"},
	}
	w.apply(&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{ns}})
	got := w.sign(0, nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "vault"})[0]
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(got.JWT.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims nomadish.IdentityClaims
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"id": "eu:default:web", "team": "t-${job.id}", "odd": "${env.SECRET} $${ ${", "where": newNode(0).Datacenter + "/g/t",
	}
	if diff := cmp.Diff(claims.Extra, want); diff != "" {
		t.Errorf("extra claims (-got +want):\n%s", diff)
	}
}

// A node gets no identity of what does not run on it, or does not exist.
func TestIdentitiesAreForTheirNode(t *testing.T) {
	w, alloc := identityWorld(t, endpoint.Config{}, identityJob("web"))
	ended := w.place("web", 0, nomadish.AllocClientFailed)
	good := nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "vault"}
	for name, try := range map[string]struct {
		node int
		want nomadish.IdentityRequest
	}{
		"another node":     {1, good},
		"ended":            {0, nomadish.IdentityRequest{AllocationID: ended, Task: "t", Identity: "vault"}},
		"unknown":          {0, nomadish.IdentityRequest{AllocationID: nomadish.NewID(), Task: "t", Identity: "vault"}},
		"no ID":            {0, nomadish.IdentityRequest{Task: "t", Identity: "vault"}},
		"unknown task":     {0, nomadish.IdentityRequest{AllocationID: alloc, Task: "t2", Identity: "vault"}},
		"part of a task":   {0, nomadish.IdentityRequest{AllocationID: alloc, Identity: "vault"}},
		"unknown identity": {0, nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "aws"}},
	} {
		if got := w.sign(try.node, try.want); got[0].Error == "" || got[0].JWT != "" {
			t.Errorf("%s: got an identity until %d", name, got[0].Expires)
		}
	}
	answers := w.sign(0, nomadish.IdentityRequest{}, good)
	if answers[0].Error == "" || answers[1].Error != "" {
		t.Errorf("one bad request spoils another: %q, %q", answers[0].Error, answers[1].Error)
	}
	_, err := w.SignIdentities(t.Context(), nodeID(0), &nomadish.IdentitiesRequest{Identities: make([]nomadish.IdentityRequest, 129)})
	if nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("129 at once: %v; want it refused", err)
	}
}

// A task is known by its identity while its allocation runs, under its parent's job if it
// has one, and not a moment longer.
func TestIdentityEndsWithItsAllocation(t *testing.T) {
	w, alloc := identityWorld(t, endpoint.Config{ACL: endpoint.ACLConfig{Enabled: true}}, identityJob("web"))
	token := w.sign(0, nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "default"})[0].JWT
	caller, err := w.Authenticate(t.Context(), nomadish.Credentials{Token: token})
	if err != nil || caller.Kind != nomadish.CallerWorkload || caller.ID != alloc {
		t.Errorf("while it runs: %+v, %v", caller, err)
	}
	w.say(0, nomadish.AllocClientComplete, alloc)
	if caller, err := w.Authenticate(t.Context(), nomadish.Credentials{Token: token}); nomadish.KindOf(err) != nomadish.KindDenied || err == nil {
		t.Errorf("after its end: %+v, %v; want it denied", caller, err)
	}
}

// A root key whose identities living allocations may hold is kept, unless somebody insists.
func TestRootKeyOfIdentitiesIsKept(t *testing.T) {
	w, alloc := identityWorld(t, endpoint.Config{}, identityJob("web"))
	token := w.sign(0, nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "default"})[0].JWT.Reveal()
	old := w.read().ActiveRootKey(nil).KeyID
	if _, _, err := w.RotateRootKey(t.Context(), &nomadish.KeyringRotateRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.DeleteRootKey(t.Context(), old, false); nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("delete: %v; want a conflict", err)
	}
	if _, err := w.keyring.Verify(token); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
	if _, err := w.DeleteRootKey(t.Context(), old, true); err != nil {
		t.Errorf("delete with force: %v", err)
	}
	if _, err := w.keyring.Verify(token); err == nil {
		t.Error("an identity outlives its key")
	}
}

// Others verify identities with the keys that are published, which they find by the issuer.
func TestPublishedKeysVerify(t *testing.T) {
	for _, algorithm := range []string{nomadish.AlgorithmEdDSA, nomadish.AlgorithmRS256} {
		t.Run(algorithm, func(t *testing.T) {
			w := newWorldWith(t, endpoint.Config{Issuer: "https://nomad.example.com/"}, algorithm)
			if err := w.keyring.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			token, err := w.keyring.Sign(&nomadish.IdentityClaims{JobID: "web"})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.RotateRootKey(t.Context(), &nomadish.KeyringRotateRequest{PublishTime: epoch.Add(time.Hour).UnixNano()}); err != nil {
				t.Fatal(err)
			}
			set, _, err := w.Keys(t.Context(), nil)
			if err != nil || len(set.Keys) != 2 {
				t.Fatalf("keys: %v, %v; want the active one and the one to come", set, err)
			}
			active := w.read().ActiveRootKey(nil).KeyID
			for _, key := range set.Keys {
				if key["kid"] == active && !verifies(t, key, token) {
					t.Errorf("%v does not verify the token", key)
				}
			}
			d, err := w.OIDCDiscovery(t.Context())
			want := &nomadish.OIDCDiscovery{
				Issuer: "https://nomad.example.com/", JWKS: "https://nomad.example.com/.well-known/jwks.json",
				ResponseTypes: []string{"code"}, Algorithms: []string{algorithm}, Subjects: []string{"public"},
			}
			if diff := cmp.Diff(d, want, cmpopts.IgnoreFields(*want, "Claims")); err != nil || diff != "" {
				t.Errorf("discovery: %v (-got +want):\n%s", err, diff)
			}
		})
	}
	if _, err := newWorld(t, endpoint.Config{}).OIDCDiscovery(t.Context()); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("discovery without an issuer: %v; want not found", err)
	}
}

// verifies checks a token as others do: with the key's JSON alone.
func verifies(t testing.TB, key map[string]any, token string) bool {
	t.Helper()
	number := func(name string) []byte {
		text, _ := key[name].(string)
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return b
	}
	cut := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil {
		t.Fatal(err)
	}
	if key["kty"] == "OKP" {
		return ed25519.Verify(number("x"), []byte(token[:cut]), signature)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(number("n")), E: int(new(big.Int).SetBytes(number("e")).Int64())}
	sum := sha256.Sum256([]byte(token[:cut]))
	return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
}
