package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// TestRegions: two regions, one asked through the other.
func TestRegions(t *testing.T) {
	f := newFederation(t, "us", "eu")
	f.node("us")
	f.node("eu")
	f.replicated("eu")
	t.Run("list", f.testList)
	t.Run("forward", f.testForward)
	t.Run("streams", f.testStreams)
	t.Run("exec", f.testExec)
	t.Run("tokens", f.testTokens)
	t.Run("shared", f.testShared)
	t.Run("forged", f.testForged)
	t.Run("cut", f.testCut)
}

// Every agent knows all regions, by name; what is none has no path.
func (f *federation) testList(t *testing.T) {
	for name := range f.members {
		regions, err := f.as(name, "").Status().Regions(t.Context())
		if diff := cmp.Diff([]string{"eu", "us"}, regions); diff != "" || err != nil {
			t.Errorf("%s: %s %v", name, diff, err)
		}
		if status, text, _ := f.get(name, f.root, http.MethodGet, "/v1/jobs?region=mars", ""); status != 500 || text != "No path to region" {
			t.Errorf("%s, of another planet: %d %s", name, status, text)
		}
	}
	members, err := f.as("us", f.root).Agent().Members(t.Context())
	if err != nil || len(members.Members) != 2 {
		t.Errorf("members: %+v, %v", members, err)
	}
}

// Reads, blocking ones, and writes reach the region that they name, through its own or another
// region's server or client agent; a job goes to its own region, if the query names none.
func (f *federation) testForward(t *testing.T) {
	for name := range f.members {
		job := nomadish.NewJob("by-"+name, nomadish.JobTypeBatch, &nomadish.Task{Name: "task", Driver: "mock_driver"})
		job.Constraints = []*nomadish.Constraint{{LTarget: "${attr.kernel.name}", RTarget: "none", Operand: "="}}
		req := &nomadish.JobRegisterRequest{Job: job}
		c := f.as(name, f.root, in("eu"))
		if _, err := c.Jobs().Register(t.Context(), req); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, meta, err := c.Jobs().Job(t.Context(), "by-"+name, nil)
		if err != nil || nomadish.Val(got.Region) != "eu" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		woken := make(chan error, 1)
		go func() {
			_, _, err := c.Jobs().Job(t.Context(), "by-"+name, &api.Query{MinIndex: meta.Index, Wait: time.Minute})
			woken <- err
		}()
		if _, err := c.Jobs().Deregister(t.Context(), &nomadish.JobDeregisterRequest{JobID: "by-" + name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-woken; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		body := fmt.Sprintf(`{"Job": {"ID": "own-%s", "Region": "eu", "Type": "batch", "Datacenters": ["*"], "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "none"}]}]}}`, name)
		for _, path := range []string{"/v1/jobs", "/v1/validate/job"} {
			if status, text, _ := f.get(name, f.root, http.MethodPut, path, body); status != http.StatusOK {
				t.Errorf("%s: %s: %d %s", name, path, status, text)
			}
		}
		if status, text, _ := f.get(name, f.root, http.MethodPut, "/v1/job/own-"+name+"/plan", body); status != http.StatusOK || !strings.Contains(text, `"JobModifyIndex"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for id := range f.members {
		if _, err := f.members["eu"].server.Store().Reader().Job(nil, "default", "own-"+id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if status, text, _ := f.get("us", f.root, http.MethodPut, "/v1/jobs", `{"Job": {"ID": "x", "Region": "mars", "TaskGroups": [{"Name": "g"}]}}`); status != 500 || text != "No path to region" {
		t.Errorf("a job of another planet: %d %s", status, text)
	}
}

// Events and logs stream from another region.
func (f *federation) testStreams(t *testing.T) {
	alloc := f.run("eu", "spoken")
	for name := range f.members {
		c := f.as(name, f.root, in("eu"))
		ctx, cancel := context.WithCancel(t.Context())
		for e, err := range c.Events().Stream(ctx, &nomadish.EventRequest{Topics: []nomadish.EventTopic{{Topic: "Job", Key: "spoken"}}, Index: 1}) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil || len(e.Events) > 0 {
				break
			}
		}
		cancel()
		var said strings.Builder
		for frame, err := range c.Files().Logs(t.Context(), &nomadish.LogRequest{AllocID: alloc.ID, Task: "task", Type: "stdout", Follow: true}) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			if said.Write(frame.Data); said.String() == "hello from eu\n" {
				break
			}
		}
	}
}

// A command runs in a task of another region, with all that it is told and says.
func (f *federation) testExec(t *testing.T) {
	alloc := f.run("eu", "told")
	for name := range f.members {
		var out strings.Builder
		code, err := f.as(name, f.root, in("eu")).Allocations().Exec(t.Context(), alloc.ID, &nomadish.ExecRequest{
			Task: "task", Command: []string{"cat"}, Stdin: strings.NewReader("through " + name), Stdout: &out, Stderr: io.Discard,
		})
		if code != 7 || err != nil || out.String() != "through "+name {
			t.Errorf("%s: code %d, %q, %v", name, code, out.String(), err)
		}
	}
}

func (f *federation) token(t *testing.T, at string, global bool) *nomadish.ACLToken {
	t.Helper()
	token, err := f.as(at, f.root).ACL().PutToken(t.Context(), &nomadish.ACLToken{Name: at, Type: nomadish.ACLTokenManagement, Global: global})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A local token is one of its region alone, wherever it is shown; a global one is one of all regions
// within seconds, and of none within seconds of its deletion, wherever that is asked for.
func (f *federation) testTokens(t *testing.T) {
	ask := func(region string, token *nomadish.ACLToken, through string) error {
		_, _, err := f.as(through, token.SecretID.Reveal(), in(region)).Jobs().List(t.Context(), nil)
		return err
	}
	here, there := f.token(t, "us", false), f.token(t, "eu", false)
	for through := range f.members {
		for region, own := range map[string]*nomadish.ACLToken{"us": here, "eu": there} {
			if err := ask(region, own, through); err != nil {
				t.Errorf("a token of %s there, through %s: %v", region, through, err)
			}
		}
		for region, foreign := range map[string]*nomadish.ACLToken{"us": there, "eu": here} {
			if err := ask(region, foreign, through); nomadish.KindOf(err) != nomadish.KindDenied {
				t.Errorf("a token of another region in %s, through %s: %v", region, through, err)
			}
		}
	}
	for _, at := range []string{"us", "eu", "eu-node"} {
		global := f.token(t, at, true)
		if _, err := f.members["us"].server.Store().Reader().ACLTokenByAccessor(nil, global.AccessorID); err != nil {
			t.Errorf("made at %s, the authoritative region does not have it: %v", at, err)
		}
		f.until("the global token in eu", func() error { return ask("eu", global, "eu") })
		if err := f.as("eu", f.root).ACL().DeleteToken(t.Context(), global.AccessorID); err != nil {
			t.Fatal(err)
		}
		f.until("its end in eu", func() error {
			if err := ask("eu", global, "eu"); nomadish.KindOf(err) != nomadish.KindDenied {
				return fmt.Errorf("not denied: %w", err)
			}
			return nil
		})
	}
	for _, own := range []*nomadish.ACLToken{here, there} {
		if err := f.as(own.Name, f.root).ACL().DeleteToken(t.Context(), own.AccessorID); err != nil {
			t.Errorf("the local token of %s: %v", own.Name, err)
		}
	}
	if _, err := f.as("eu", "").ACL().Bootstrap(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "already done") {
		t.Errorf("another first token by way of eu: %v", err)
	}
}

// What all regions share is written in the authoritative region, wherever it is asked for, and is
// everywhere then.
func (f *federation) testShared(t *testing.T) {
	eu := f.as("eu", f.root)
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("quota", eu.Quotas().Put(ctx, &nomadish.QuotaSpec{Name: "q", Limits: []*nomadish.QuotaLimit{{Region: "eu", RegionLimit: &nomadish.QuotaResources{CPU: nomadish.Ptr(100)}}}}))
	check("pool", eu.NodePools().Put(ctx, &nomadish.NodePool{Name: "pool"}))
	check("namespace", eu.Namespaces().Put(ctx, &nomadish.Namespace{Name: "apps"}))
	check("policy", eu.ACL().PutPolicy(ctx, &nomadish.ACLPolicy{Name: "apps", Rules: `namespace "apps" { policy = "write" }`}))
	role, err := eu.ACL().PutRole(ctx, &nomadish.ACLRole{Name: "dev", Policies: []*nomadish.ACLRolePolicyLink{{Name: "apps"}}})
	check("role", err)
	_, err = eu.ACL().PutAuthMethod(ctx, &nomadish.ACLAuthMethod{
		Name: "ci", Type: "JWT", TokenLocality: "global", MaxTokenTTL: nomadish.TextDuration(time.Hour),
		Config: &nomadish.ACLAuthMethodConfig{JWKSURL: "http://127.0.0.1:1/keys"},
	})
	check("auth method", err)
	rule, err := eu.ACL().PutBindingRule(ctx, &nomadish.ACLBindingRule{AuthMethod: "ci", BindType: "role", BindName: "dev"})
	check("binding rule", err)
	read := func(name string) error {
		c := f.as(name, f.root)
		for what, get := range map[string]func() error{
			"quota":     func() error { _, _, err := c.Quotas().Quota(ctx, "q", nil); return err },
			"pool":      func() error { _, _, err := c.NodePools().NodePool(ctx, "pool", nil); return err },
			"namespace": func() error { _, _, err := c.Namespaces().Namespace(ctx, "apps", nil); return err },
			"policy":    func() error { _, _, err := c.ACL().Policy(ctx, "apps", nil); return err },
			"role":      func() error { _, _, err := c.ACL().Role(ctx, role.ID, nil); return err },
			"method":    func() error { _, _, err := c.ACL().AuthMethod(ctx, "ci", nil); return err },
			"rule":      func() error { _, _, err := c.ACL().BindingRule(ctx, rule.ID, nil); return err },
		} {
			if err := get(); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
		return nil
	}
	check("in us at once", read("us"))
	f.until("all in eu", func() error { return read("eu") })
	for name := range f.members {
		r, err := f.as(name, f.root, in("eu")).Operator().Replication(ctx)
		if err != nil || r.Region != "eu" || r.Authoritative != "us" || len(r.Kinds) != 8 || r.Kinds[7].Kind != nomadish.SharedTokens || r.Kinds[7].Rows == 0 {
			t.Errorf("how eu replicates, by %s: %+v, %v", name, r, err)
		}
	}
	if _, text, _ := f.get("eu", f.root, http.MethodGet, "/v1/metrics", ""); !strings.Contains(text, "nomadish.replication.age_seconds") {
		t.Error("the metrics say nothing of replication")
	}
	check("rule", eu.ACL().DeleteBindingRule(ctx, rule.ID))
	check("method", eu.ACL().DeleteAuthMethod(ctx, "ci"))
	check("role", eu.ACL().DeleteRole(ctx, role.ID))
	check("policy", eu.ACL().DeletePolicy(ctx, "apps"))
	check("namespace", eu.Namespaces().Delete(ctx, "apps"))
	check("pool", eu.NodePools().Delete(ctx, "pool"))
	check("quota", eu.Quotas().Delete(ctx, "q"))
	f.until("nothing of it in eu", func() error {
		r := f.members["eu"].server.Store().Reader()
		_, quota := r.Quota(nil, "q")
		_, pool := r.NodePool(nil, "pool")
		_, space := r.Namespace(nil, "apps")
		_, policy := r.ACLPolicy(nil, "apps")
		_, group := r.ACLRole(nil, role.ID)
		_, method := r.ACLAuthMethod(nil, "ci")
		_, bound := r.ACLBindingRule(nil, rule.ID)
		for _, err := range []error{quota, pool, space, policy, group, method, bound} {
			if nomadish.KindOf(err) != nomadish.KindNotFound {
				return fmt.Errorf("something is still there: %w", err)
			}
		}
		return nil
	})
}

// A server of another region can't ask what servers may, whatever it says of where a request comes
// from, and neither can anybody through it.
func (f *federation) testForged(t *testing.T) {
	way, err := f.members["eu"].hub.Server(f.members["us"].id)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/internal/server", "/v1/internal/shared/acl-tokens", "/v1/jobs"} {
		for _, forged := range []bool{false, true} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if forged {
				req.Header.Set("X-Nomadish-Origin-Kind", "server")
				req.Header.Set("X-Nomadish-Origin-Id", f.members["us"].id)
				req.Header.Set("X-Nomadish-Hops", "1")
			}
			resp, err := way.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s, forged %t: %d", path, forged, resp.StatusCode)
			}
		}
	}
	for _, own := range []string{"eu", "us"} { // and nobody is one of another region's nodes or servers
		for _, path := range []string{"/v1/internal/server", "/v1/internal/commit-index"} {
			if status, text, _ := f.get("eu", "", http.MethodGet, path+"?region="+own, ""); status != http.StatusForbidden {
				t.Errorf("%s in %s: %d %s", path, own, status, text)
			}
		}
	}
}

// While the authoritative region is gone, the other one works as ever, and says at once or within 5
// seconds what can't be done. When it is there again all goes on.
func (f *federation) testCut(t *testing.T) {
	ctx := t.Context()
	f.members["us-node"].stop()
	f.members["us"].stop()
	for _, path := range []string{"/v1/jobs", "/v1/regions", "/v1/nodes", "/v1/acl/tokens", "/v1/agent/members", "/v1/status/leader"} {
		if status, text, took := f.get("eu", f.root, http.MethodGet, path, ""); status != http.StatusOK || took > time.Second {
			t.Errorf("%s: %d %.100s after %s", path, status, text, took)
		}
	}
	own, err := f.as("eu", f.root).ACL().PutToken(ctx, &nomadish.ACLToken{Type: nomadish.ACLTokenManagement})
	if err != nil {
		t.Errorf("a local token: %v", err)
	}
	f.runAlone(t, own.SecretID.Reveal())
	for _, r := range [][3]string{
		{http.MethodGet, "/v1/jobs?region=us"},
		{http.MethodPut, "/v1/namespace", `{"Name": "nope"}`},
		{http.MethodPut, "/v1/acl/token", `{"Type": "management", "Global": true}`},
		{http.MethodGet, "/v1/event/stream?region=us"},
	} {
		for _, name := range []string{"eu", "eu-node"} {
			if status, text, took := f.get(name, f.root, r[0], r[1], r[2]); status != http.StatusServiceUnavailable || took > 5*time.Second {
				t.Errorf("%s of %s: %d %s after %s", r[1], name, status, text, took)
			}
		}
	}
	f.start("us")
	f.until("us is back", func() error {
		_, err := f.as("us", f.root).Status().Leader(ctx)
		return err
	})
	if err := f.as("us", f.root).Namespaces().Put(ctx, &nomadish.Namespace{Name: "after"}); err != nil {
		t.Fatal(err)
	}
	f.until("eu replicates again", func() error {
		_, err := f.members["eu"].server.Store().Reader().Namespace(nil, "after")
		return err
	})
	f.until("us is reached from eu", func() error {
		_, _, err := f.as("eu", f.root, in("us")).Jobs().List(ctx, nil)
		return err
	})
	if _, err := f.members["eu"].server.Store().Reader().ACLTokenByAccessor(nil, own.AccessorID); err != nil {
		t.Errorf("the local token that was made meanwhile: %v", err)
	}
}

// runAlone has a job run in eu.
func (f *federation) runAlone(t *testing.T, token string) {
	t.Helper()
	job := nomadish.NewJob("alone", nomadish.JobTypeBatch, &nomadish.Task{Name: "task", Driver: "mock_driver", Config: map[string]any{"run_for": "1ms"}})
	job.Region = nomadish.Ptr("eu")
	if err := f.as("eu-node", token).Jobs().Finish(t.Context(), job); err != nil {
		t.Errorf("a job of eu while us is gone: %v", err)
	}
}

// Of three regions two need each other for nothing that is between one of them and the third, and what
// is made through any is in all.
func TestThreeRegions(t *testing.T) {
	f := newFederation(t, "us", "eu", "ap")
	f.replicated("eu")
	f.replicated("ap")
	token := f.token(t, "ap", true).SecretID.Reveal()
	for _, through := range []string{"us", "eu", "ap"} {
		for _, asked := range []string{"us", "eu", "ap"} {
			f.until("a token of "+asked+" through "+through, func() error {
				_, _, err := f.as(through, token, in(asked)).Jobs().List(t.Context(), nil)
				return err
			})
		}
	}
	f.members["us"].stop()
	for _, pair := range [][2]string{{"eu", "ap"}, {"ap", "eu"}} {
		if status, text, took := f.get(pair[0], token, http.MethodGet, "/v1/jobs?region="+pair[1], ""); status != http.StatusOK || took > time.Second {
			t.Errorf("%s through %s: %d %s after %s", pair[1], pair[0], status, text, took)
		}
		if status, text, took := f.get(pair[0], token, http.MethodPut, "/v1/namespace?region="+pair[1], `{"Name": "x"}`); status != http.StatusServiceUnavailable || took > 5*time.Second {
			t.Errorf("a namespace for %s through %s: %d %s after %s", pair[1], pair[0], status, text, took)
		}
	}
}
