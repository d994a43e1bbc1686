package endpoint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

// introduce makes a token, as management.
func introduce(t *testing.T, w *world, req *nomadish.ClientIntroductionRequest) nomadish.SecretText {
	t.Helper()
	ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerManagement})
	resp, err := w.IntroduceClient(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.JWT
}

// Where introductions are enforced, a new node is taken only with a token for its name and
// pool that has not ended; a node that is registered needs none, and other servers take all.
func TestIntroductions(t *testing.T) {
	job := identityJob("web")
	strict := endpoint.Config{Introduction: endpoint.Introduction{Enforcement: nomadish.IntroductionStrict}, ACL: endpoint.ACLConfig{Enabled: true}}
	w, alloc := identityWorld(t, strict, job)
	stranger := newNode(7)
	gpu := newNode(8)
	gpu.NodePool = "gpu"
	identity := w.sign(0, nomadish.IdentityRequest{AllocationID: alloc, Task: "t", Identity: "default"})[0].JWT
	for _, tt := range []struct {
		name  string
		node  *nomadish.Node
		token nomadish.SecretText
		want  string // "": it is taken
	}{
		{"any name", stranger, introduce(t, w, &nomadish.ClientIntroductionRequest{}), ""},
		{"its name and pool", gpu, introduce(t, w, &nomadish.ClientIntroductionRequest{NodeName: gpu.Name, NodePool: "gpu"}), ""},
		{"known", newNode(0), "", ""},
		{"no token", stranger, "", "node intro create"},
		{"another pool", gpu, introduce(t, w, &nomadish.ClientIntroductionRequest{}), `a node of the pool "default"`},
		{"another name", stranger, introduce(t, w, &nomadish.ClientIntroductionRequest{NodeName: "other"}), `of the name "other"`},
		{"a task's identity", stranger, identity, "introduces no node"},
		{"no token of ours", stranger, "x.y.z", "the token that introduces it"},
	} {
		err := w.CheckIntroduction(t.Context(), tt.node, tt.token)
		if tt.want == "" && err != nil || tt.want != "" && (nomadish.KindOf(err) != nomadish.KindDenied || err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := w.Authenticate(t.Context(), nomadish.Credentials{Token: introduce(t, w, &nomadish.ClientIntroductionRequest{})}); nomadish.KindOf(err) != nomadish.KindDenied || err == nil {
		t.Errorf("an introduction shown as a token: %v, want it denied", err)
	}
	for _, enforcement := range []string{nomadish.IntroductionNone, nomadish.IntroductionWarn, ""} {
		open, _ := identityWorld(t, endpoint.Config{Introduction: endpoint.Introduction{Enforcement: enforcement}}, identityJob("web"))
		if err := open.CheckIntroduction(t.Context(), stranger, ""); err != nil {
			t.Errorf("enforcement %q: %v", enforcement, err)
		}
	}
}

// A token that introduces is asked for by who may write nodes, within the servers' bounds.
func TestIntroduceClientRefuses(t *testing.T) {
	w, _ := identityWorld(t, endpoint.Config{ACL: endpoint.ACLConfig{Enabled: true}}, identityJob("web"))
	management := nomadish.Caller{Kind: nomadish.CallerManagement}
	for _, tt := range []struct {
		name   string
		caller nomadish.Caller
		req    nomadish.ClientIntroductionRequest
		want   nomadish.Kind
	}{
		{"too long", management, nomadish.ClientIntroductionRequest{TTL: 31 * time.Minute}, nomadish.KindInvalid},
		{"negative", management, nomadish.ClientIntroductionRequest{TTL: -1}, nomadish.KindInvalid},
		{"a bad pool", management, nomadish.ClientIntroductionRequest{NodePool: "a b"}, nomadish.KindInvalid},
		{"nobody", nomadish.Caller{Kind: nomadish.CallerAnonymous}, nomadish.ClientIntroductionRequest{}, nomadish.KindDenied},
	} {
		_, err := w.IntroduceClient(nomadish.WithCaller(t.Context(), tt.caller), &tt.req)
		if err == nil || nomadish.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want kind %d", tt.name, err, tt.want)
		}
	}
}
