package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// What is in a namespace that somebody may not see shows in no list, search or stream that is
// asked of all namespaces, whoever is asked; and it shows to who may see it.
func TestListsShowNothingOfOthers(t *testing.T) {
	g := newGuarded(t)
	const canary = "canary-5a7c4f6"
	ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerServer})
	j := nomadish.NewJob(canary, nomadish.JobTypeBatch, &nomadish.Task{Name: canary, Driver: "function"})
	j.Namespace = nomadish.Ptr("other")
	j.TaskGroups[0].Scaling = &nomadish.ScalingPolicy{Max: nomadish.Ptr(int64(3))}
	if _, _, err := g.server.server.Endpoint().RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: j}); err != nil {
		t.Fatal(err)
	}
	g.until("the other job", func() error {
		for a := range g.store().AllocationsByJob(nil, "other", canary) {
			if a.ClientStatus == nomadish.AllocClientRunning {
				return nil
			}
		}
		return errors.New("it does not run")
	})
	requests := [][3]string{
		{http.MethodGet, "/v1/jobs", ""},
		{http.MethodGet, "/v1/allocations", ""},
		{http.MethodGet, "/v1/evaluations", ""},
		{http.MethodGet, "/v1/deployments", ""},
		{http.MethodGet, "/v1/scaling/policies", ""},
		{http.MethodGet, "/v1/vars", ""},
		{http.MethodGet, "/v1/node/" + g.node.client.NodeID() + "/allocations", ""},
		{http.MethodPut, "/v1/search", `{"Prefix": "can", "Context": "all"}`},
		{http.MethodPut, "/v1/search/fuzzy", `{"Text": "canary", "Context": "all"}`},
		{http.MethodGet, "/v1/event/stream?index=1&follow=false", ""},
	}
	shown := map[string]int{}
	for _, a := range []*asker{g.ask(g.server), g.ask(g.node)} {
		for _, r := range requests {
			sep := "?"
			if strings.Contains(r[1], "?") {
				sep = "&"
			}
			for _, who := range []string{"none", "web", "deny", "task", "task-policy", "read", "write", "ops-read", "ops-write", "other", "management"} {
				_, text := a.whole(who, r[0], r[1]+sep+"namespace=*", r[2])
				if !strings.Contains(text, canary) {
					continue
				}
				shown[who]++
				if who != "other" && who != "management" {
					t.Errorf("%s %s of the %s shows %s what is in another namespace", r[0], r[1], a.name, who)
				}
			}
		}
	}
	if shown["other"] < 10 || shown["management"] < 12 {
		t.Errorf("who may see it was shown it %v times", shown)
	}
}

// whole is do with all of the answer.
func (a *asker) whole(who, method, path, body string) (int, string) {
	a.g.t.Helper()
	resp := a.open(a.g.t.Context(), who, method, path, body)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.g.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (a *asker) open(ctx context.Context, who, method, path, body string) *http.Response {
	a.g.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.addr.String()+path, strings.NewReader(body))
	if err != nil {
		a.g.t.Fatal(err)
	}
	req.Header = a.g.header(who)
	resp, err := a.http.Do(req)
	if err != nil {
		a.g.t.Fatal(err)
	}
	return resp
}

// A token that is deleted takes the streams with it that were opened with it, at the server and
// at the node, forwarded or not; so does a policy that is taken from under it.
func TestStreamsEndWithTheirToken(t *testing.T) {
	g := newGuarded(t)
	doomed := g.token("doomed", "", nil)
	g.token("emptied", "write", nil)
	streams := []string{
		"/v1/event/stream?topic=Job&namespace=web-admin",
		"/v1/client/fs/logs/" + g.alloc.ID + "?task=task&type=stdout&follow=true",
		"/v1/jobs?namespace=web-admin&index=1000000&wait=4m",
	}
	type end struct {
		what string
		text string
		at   time.Time
	}
	ends, sent := make(chan end), make(chan bool)
	n := 0
	agents := []*asker{g.ask(g.server), g.ask(g.node)}
	for _, a := range agents {
		for _, who := range []string{"doomed", "emptied"} {
			for _, path := range streams {
				n++
				go func() {
					asked := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent <- true }}
					req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), asked), http.MethodGet, "http://"+a.addr.String()+path, http.NoBody)
					if err != nil {
						ends <- end{path, err.Error(), time.Now()}
						return
					}
					req.Header = g.header(who)
					resp, err := a.http.Do(req)
					if err != nil {
						ends <- end{path, err.Error(), time.Now()}
						return
					}
					defer resp.Body.Close()
					text, _ := io.ReadAll(bufio.NewReader(resp.Body))
					ends <- end{who + " of the " + a.name + ": " + path, string(text), time.Now()}
				}()
			}
		}
	}
	for range n {
		<-sent
	}
	for _, a := range agents { // what was sent before this is being answered
		if status, text := a.do("management", http.MethodGet, "/v1/jobs?namespace=web-admin", ""); status != http.StatusOK {
			t.Fatal(a.name, status, text)
		}
	}
	lost := time.Now()
	g.propose(&fsm.DeleteACLTokens{AccessorIDs: []string{doomed.AccessorID}})
	g.propose(&fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{{Name: "write", Rules: `node { policy = "read" }`}}})
	var longest time.Duration
	for range n {
		select {
		case e := <-ends:
			longest = max(longest, e.at.Sub(lost))
			if !strings.Contains(e.text, "Permission denied") {
				t.Errorf("%s ended with %q", e.what, e.text)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("some streams go on")
		}
	}
	t.Logf("%d streams ended, the last after %s", n, longest)
}

// A task that has ended is nobody any more, and its identity opens nothing.
func TestIdentityEndsWithItsTask(t *testing.T) {
	g := newGuarded(t)
	via := []*asker{g.ask(g.server), g.ask(g.node)}
	for _, a := range via {
		if status, text := a.do("task-policy", http.MethodGet, "/v1/jobs?namespace=web-admin", ""); status != http.StatusOK {
			t.Fatalf("%s: %d %s", a.name, status, text)
		}
	}
	if status, text := via[0].do("management", http.MethodDelete, "/v1/job/web?namespace=web-admin", ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	for _, a := range via {
		g.until("the identity's end at the "+a.name, func() error {
			if status, _ := a.do("task-policy", http.MethodGet, "/v1/jobs?namespace=web-admin", ""); status != http.StatusForbidden {
				return errors.New("it is still let in")
			}
			return nil
		})
	}
}

// A workload has its own variables, and by no name those of a job whose name begins the same.
func TestWorkloadsOwnVariables(t *testing.T) {
	g := newGuarded(t)
	a := g.ask(g.server)
	for path, want := range map[string]int{
		"nomad/jobs": 404, "nomad/jobs/web": 404, "nomad/jobs/web/web": 404, "nomad/jobs/web/web/task": 404, // they are not there, and may be asked for
		"nomad/jobs/web-admin": 403, "nomad/jobs/web/web/task-policy": 403, "nomad/jobs/web/w": 403, "nomad": 403, "nomad/jobs/we": 403,
	} {
		if status, text := a.do("task", http.MethodGet, "/v1/var/"+path+"?namespace=web-admin", ""); status != want && !(want == 403 && status == 400) {
			t.Errorf("%s: %d %s, want %d", path, status, text, want)
		}
	}
	if status, _ := a.do("task", http.MethodGet, "/v1/var/nomad/jobs/web?namespace=web", ""); status != http.StatusForbidden {
		t.Errorf("the variables of a job of its name in another namespace: %d", status)
	}
}

// A body may not name another namespace than the one that the token has rights in, whatever the
// query says.
func TestNamespaceOfTheBody(t *testing.T) {
	g := newGuarded(t)
	a := g.ask(g.server)
	for _, path := range []string{"/v1/job/web/evaluate", "/v1/job/web/scale", "/v1/job/web/revert", "/v1/job/web/stable"} {
		body, err := json.Marshal(map[string]any{"JobID": "web", "JobVersion": 0, "Namespace": "web-admin", "Target": map[string]string{"Group": "web"}, "Count": 2})
		if err != nil {
			t.Fatal(err)
		}
		if status, text := a.do("other", http.MethodPut, path, string(body)); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	job := `{"Job": {"ID": "web", "Namespace": "web-admin", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "function"}]}]}}`
	for _, path := range []string{"/v1/jobs?namespace=other", "/v1/job/web?namespace=other", "/v1/job/web/plan?namespace=other", "/v1/validate/job?namespace=other"} {
		if status, text := a.do("other", http.MethodPut, path, job); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// "*" is all namespaces, for lists; nothing is in it, so nobody has rights by it, and nothing is
// written to it.
func TestNothingIsInAllNamespaces(t *testing.T) {
	g := newGuarded(t)
	a := g.ask(g.server)
	jobs, vars := g.store().TableIndex(state.TableJobs, state.TableEvaluations), g.store().TableIndex(state.TableVariables)
	for _, r := range [][2]string{
		{http.MethodDelete, "/v1/job/web"},
		{http.MethodPut, "/v1/job/web/evaluate"},
		{http.MethodPut, "/v1/job/web/scale"},
		{http.MethodPut, "/v1/var/nomad/jobs/web"},
		{http.MethodDelete, "/v1/var/nomad/jobs/web"},
		{http.MethodPut, "/v1/jobs"},
		{http.MethodPut, "/v1/job/web/revert"},
		{http.MethodPut, "/v1/job/web/versions/x/tag"},
	} {
		for _, who := range []string{"write", "web", "management"} {
			body := `{"JobID": "web", "Namespace": "*", "Target": {"Group": "web"}, "Count": 1, "Items": {"a": "b"}, "Path": "nomad/jobs/web", "Job": {"ID": "x", "Namespace": "*"}}`
			status, text := a.do(who, r[0], r[1]+"?namespace=*", body)
			if status != http.StatusForbidden && (who != "management" && status != http.StatusBadRequest || status < 400) {
				t.Errorf("%s: %s %s: %d %s", who, r[0], r[1], status, text)
			}
		}
	}
	if nowJobs, nowVars := g.store().TableIndex(state.TableJobs, state.TableEvaluations), g.store().TableIndex(state.TableVariables); nowJobs != jobs || nowVars != vars {
		t.Errorf("something was written: indexes %d and %d, were %d and %d", nowJobs, nowVars, jobs, vars)
	}
}
