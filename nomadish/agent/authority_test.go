package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// oracle is a server that is asked about tokens.
type oracle struct {
	answer *nomadish.ResolvedCaller
	err    error
	asked  int
}

func (o *oracle) resolve(context.Context, string) (*nomadish.ResolvedCaller, error) {
	o.asked++
	return o.answer, o.err
}

var errAway = nomadish.Errorf(nomadish.KindNoLeader, "no server")

// A node lets nobody in whom it can't ask about. Only where a server has said before that there
// is no access control, and its own configuration says nothing else, does its API go on.
func TestAuthorityWithoutServers(t *testing.T) {
	for name, tt := range map[string]struct {
		required bool
		first    *nomadish.ResolvedCaller // what a server said before it went away
		open     bool
	}{
		"nothing is known":              {},
		"by configuration":              {required: true},
		"a server had none":             {first: &nomadish.ResolvedCaller{Kind: nomadish.CallerManagement, Open: true}, open: true},
		"a server had it":               {first: &nomadish.ResolvedCaller{Kind: nomadish.CallerManagement, ID: "a"}},
		"configuration above all":       {required: true, first: &nomadish.ResolvedCaller{Kind: nomadish.CallerManagement, Open: true}},
		"a server had it for strangers": {first: &nomadish.ResolvedCaller{Kind: nomadish.CallerAnonymous}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &oracle{answer: tt.first}
				a := &authority{required: tt.required, resolve: o.resolve}
				if tt.first != nil {
					if _, err := a.Authenticate(t.Context(), nomadish.Credentials{Token: "x"}); err != nil {
						t.Fatal(err)
					}
				}
				o.answer, o.err = nil, errAway
				time.Sleep(rememberFor)
				caller, err := a.Authenticate(t.Context(), nomadish.Credentials{Token: "x"})
				if open := err == nil && caller.Management(); open != tt.open {
					t.Errorf("got %+v, %v; want it to be open: %t", caller, err, tt.open)
				}
			})
		})
	}
}

// What a server said counts for a moment, also that a token is not good, and no longer.
func TestAuthorityRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{answer: &nomadish.ResolvedCaller{Kind: nomadish.CallerToken, ID: "a", Policies: []*nomadish.ACLPolicy{{Name: "p", Rules: `node { policy = "read" }`}}}}
		a := &authority{resolve: o.resolve}
		ask := func(token string) error {
			caller, err := a.Authenticate(t.Context(), nomadish.Credentials{Token: nomadish.SecretText(token)})
			if err != nil {
				return err
			}
			return caller.Check(nomadish.PermNodeRead, "", "")
		}
		for range 3 {
			if err := ask("x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := ask("y"); err != nil || o.asked != 2 {
			t.Errorf("%v; a server was asked %d times about two tokens", err, o.asked)
		}
		o.answer, o.err = nil, nomadish.ErrDenied
		if err := ask("x"); err != nil {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(rememberFor)
		for range 3 {
			if err := ask("x"); nomadish.KindOf(err) != nomadish.KindDenied {
				t.Errorf("later: %v", err)
			}
		}
		if o.asked != 3 {
			t.Errorf("a server was asked %d times, want 3", o.asked)
		}
	})
}

// Whoever asks a node without a token has no more rights than at a server, even though the
// node itself is known to the servers; nor has who says that it is a server.
func TestNodesUsersAreNobody(t *testing.T) {
	g := newGuarded(t)
	via := g.ask(g.node)
	for _, path := range []string{"/v1/jobs?namespace=web-admin", "/v1/nodes", "/v1/client/fs/ls/" + g.alloc.ID + "?path=/", "/v1/agent/self", "/v1/acl/tokens"} {
		for _, who := range []string{"none", "as-server", "unknown"} {
			if status, text := via.do(who, http.MethodGet, path, ""); status != http.StatusForbidden {
				t.Errorf("%s: %s: %d %s", who, path, status, text)
			}
		}
	}
}

// Profiles and the machine show to tokens with the right to the agent; the switch for those who
// have no access control is not needed.
func TestDebugNeedsATokenOrTheSwitch(t *testing.T) {
	g := newGuarded(t)
	for _, via := range []*asker{g.ask(g.server), g.ask(g.node)} {
		for who, want := range map[string]int{"none": 403, "ops-write": 200, "management": 200, "write": 403} {
			for _, path := range []string{"/v1/agent/pprof/cmdline", "/v1/agent/host"} {
				if status, text := via.do(who, http.MethodGet, path, ""); status != want {
					t.Errorf("%s of the %s: %s: %d %.80s, want %d", who, via.name, path, status, text, want)
				}
			}
		}
	}
}

// Everybody may ask what its own token may do, and management who may do what.
func TestWhoMayDoWhat(t *testing.T) {
	g := newGuarded(t)
	via := g.ask(g.node)
	for _, tt := range []struct {
		who, query string
		allowed    bool
		reason     string
	}{
		{"write", "permission=submit-job&namespace=web-admin", true, "its policies give it"},
		{"read", "permission=submit-job&namespace=web-admin", false, "no rule of its policies gives it"},
		{"write", "permission=submit-job&namespace=web", false, "no rule of its policies gives it"},
		{"deny", "permission=read-job&namespace=web-admin", false, "a rule of its policies denies it"},
		{"management", "permission=management", true, "the token is one of management"},
		{"write", "permission=management", false, "only tokens of management may do that"},
		{"none", "permission=node:read", false, `who shows no token has no rights: there is no policy "anonymous"`},
		{"task", "permission=variables:read&namespace=web-admin&name=nomad/jobs/web", true, "its policies give it"},
		{"task", "permission=variables:read&namespace=web-admin&name=nomad/jobs/web-admin", false, "no rule of its policies gives it"},
	} {
		status, text := via.do(tt.who, http.MethodGet, "/v1/acl/can-i?"+tt.query, "")
		var got nomadish.AccessAnswer
		if err := json.Unmarshal([]byte(text), &got); err != nil || status != http.StatusOK {
			t.Errorf("%s %s: %d %s", tt.who, tt.query, status, text)
			continue
		}
		if got.Allowed != tt.allowed || got.Reason != tt.reason {
			t.Errorf("%s %s: %t, as %s; want %t, as %s", tt.who, tt.query, got.Allowed, got.Reason, tt.allowed, tt.reason)
		}
	}
	if status, text := via.do("read", http.MethodGet, "/v1/acl/can-i?permission=submit-jobs", ""); status != http.StatusBadRequest || text != `there is no permission "submit-jobs": did you mean "submit-job"?` {
		t.Errorf("misspelt: %d %s", status, text)
	}
	_, text := via.whole("management", http.MethodGet, "/v1/acl/who-can?permission=read-job&namespace=web-admin", "")
	var got nomadish.AccessHolders
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err, text)
	}
	tokens := map[string]bool{}
	for _, h := range got.Tokens {
		tokens[h.Name] = true
	}
	for who, want := range map[string]bool{"read": true, "write": true, "management": true, "deny": false, "web": false, "other": false, "expired": false, "ops-write": false} {
		if tokens[who] != want {
			t.Errorf("%s may: %t, want %t", who, tokens[who], want)
		}
	}
	if len(got.Workloads) != 1 || got.Workloads[0].JobACL.JobID != "web" || got.Anonymous {
		t.Errorf("workloads: %+v, anonymous %t", got.Workloads, got.Anonymous)
	}
	denied := false
	for _, p := range got.Policies {
		denied = denied || p.Name == "deny" && p.Denies
	}
	if !denied {
		t.Errorf("policies: %+v", got.Policies)
	}
}
