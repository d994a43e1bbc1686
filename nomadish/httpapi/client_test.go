package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// clients are the ways to the API; all behave alike.
func clients(t *testing.T, a *API, cfg api.Config) map[string]*api.Client {
	t.Helper()
	ways := map[string]*api.Client{}
	cfg.Address = serve(t, a)
	for _, name := range []string{"socket", "in process"} {
		if name == "in process" {
			cfg.Transport = transport.InProcess(a, transport.Peer{})
		}
		c, err := api.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		ways[name] = c
	}
	return ways
}

// Every method of the Go client finds its route and understands the answer.
func TestClient(t *testing.T) {
	c := newCluster()
	c.put(job("a/b"))
	c.evals = []*nomadish.Evaluation{{ID: "e1"}}
	c.allocs = []*nomadish.AllocationListStub{{ID: allocID}}
	c.nodes = []*nomadish.NodeListStub{{ID: nodeID}}
	for name, cl := range clients(t, c.api(t), api.Config{}) {
		t.Run(name, func(t *testing.T) {
			checkJobs(t, c, cl)
			checkAllocations(t, cl)
			checkEvaluations(t, cl)
			checkNodes(t, cl)
			checkAgent(t, cl)
			_, _, err := cl.Jobs().Job(t.Context(), "nope", nil)
			if !errors.Is(err, nomadish.ErrNotFound) || nomadish.KindOf(err) != nomadish.KindNotFound {
				t.Errorf("a missing job: got %v", err)
			}
		})
	}
}

// checker returns what compares the results of a call.
func checker(t *testing.T) func(what string, got, want any, err error) {
	return func(what string, got, want any, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", what, got, err, want)
		}
	}
}

func checkJobs(t *testing.T, c *cluster, cl *api.Client) {
	t.Helper()
	ctx, check := t.Context(), checker(t)
	jobs, meta, err := cl.Jobs().List(ctx, &api.Query{Prefix: "a", PerPage: 5})
	check("jobs", len(jobs), 1, err)
	if meta.Index == 0 || !meta.KnownLeader || meta.LastContact == 0 {
		t.Errorf("meta: %+v", meta)
	}
	j, _, err := cl.Jobs().Job(ctx, "a/b", nil)
	check("job", nomadish.Val(j.ID), "a/b", err)
	versions, _, err := cl.Jobs().Versions(ctx, "a/b", nil)
	check("versions", len(versions), 1, err)
	sub, _, err := cl.Jobs().Submission(ctx, "a/b", 0, nil)
	check("submission", sub.Source, "job {}", err)
	sum, _, err := cl.Jobs().Summary(ctx, "a/b", nil)
	check("summary", sum.JobID, "a/b", err)
	deployment, _, err := cl.Jobs().Deployment(ctx, "a/b", nil)
	check("deployment", deployment == nil, true, err)
	deployments, _, err := cl.Jobs().Deployments(ctx, "a/b", nil)
	check("deployments", len(deployments), 0, err)
	reg, err := cl.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: job("x/y")})
	check("register", reg.EvalID, "e1", err)
	dereg, err := cl.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{JobID: "x/y", Purge: true})
	check("deregister", dereg.EvalID, "e2", err)
	check("purge", *c.stopped[len(c.stopped)-1], nomadish.JobDeregisterRequest{
		JobID: "x/y", Purge: true, WriteRequest: nomadish.WriteRequest{Region: "global", Namespace: "default"},
	}, nil)
	val, err := cl.Jobs().Validate(ctx, &nomadish.JobValidateRequest{Job: job("x")})
	check("validate", val.DriverConfigValidated, true, err)
	parsed, err := cl.Jobs().Parse(ctx, &nomadish.JobsParseRequest{JobHCL: "hcl"})
	check("parse", nomadish.Val(parsed.ID), "hcl", err)
	eval, err := cl.Jobs().Evaluate(ctx, &nomadish.JobEvaluateRequest{JobID: "a/b", EvalOptions: nomadish.EvalOptions{ForceReschedule: true}})
	check("evaluate", eval.EvalID, "e3 a/btrue", err)
	evals, _, err := cl.Jobs().Evaluations(ctx, "a/b", nil)
	check("evaluations of a job", len(evals), 1, err)
	allocs, _, err := cl.Jobs().Allocations(ctx, "a/b", true, nil)
	check("allocations of a job", len(allocs), 1, err)
}

func checkAllocations(t *testing.T, cl *api.Client) {
	t.Helper()
	ctx, check := t.Context(), checker(t)
	stubs, _, err := cl.Allocations().List(ctx, &api.Query{Params: map[string]string{"resources": "true", "task_states": "false"}})
	check("allocations", len(stubs), 1, err)
	alloc, _, err := cl.Allocations().Allocation(ctx, allocID, nil)
	check("allocation", alloc.ID, allocID, err)
	stop, err := cl.Allocations().Stop(ctx, allocID, true)
	check("stop", stop.EvalID, "e4", err)
	stats, err := cl.Allocations().Stats(ctx, allocID, nil)
	check("stats", stats.Timestamp, int64(1), err)
	check("collect allocation", nil, nil, cl.Allocations().CollectGarbage(ctx, allocID))
}

func checkEvaluations(t *testing.T, cl *api.Client) {
	t.Helper()
	ctx, check := t.Context(), checker(t)
	list, _, err := cl.Evaluations().List(ctx, nil)
	check("evaluations", len(list), 1, err)
	one, _, err := cl.Evaluations().Evaluation(ctx, "e9", &api.Query{Params: map[string]string{"related": "true"}})
	check("evaluation", one.ID, "e9", err)
	count, _, err := cl.Evaluations().Count(ctx, nil)
	check("count", count, 1, err)
	allocs, _, err := cl.Evaluations().Allocations(ctx, "e9", nil)
	check("allocations of an evaluation", len(allocs), 1, err)
	deleted, err := cl.Evaluations().Delete(ctx, &nomadish.EvaluationDeleteRequest{EvalIDs: []string{"a", "b"}})
	check("delete", deleted, 2, err)
}

func checkNodes(t *testing.T, cl *api.Client) {
	t.Helper()
	ctx, check := t.Context(), checker(t)
	nodes, _, err := cl.Nodes().List(ctx, &api.Query{Params: map[string]string{"resources": "true"}})
	check("nodes", len(nodes), 1, err)
	node, _, err := cl.Nodes().Node(ctx, nodeID, nil)
	check("node", node.ID, nodeID, err)
	of, _, err := cl.Nodes().Allocations(ctx, nodeID, nil)
	check("allocations of a node", len(of), 0, err)
	upd, err := cl.Nodes().SetEligibility(ctx, nodeID, false)
	check("eligibility", upd.Index > 0, true, err)
	_, err = cl.Nodes().Evaluate(ctx, nodeID)
	check("evaluate node", nil, nil, err)
	_, err = cl.Nodes().Purge(ctx, nodeID)
	check("purge node", nil, nil, err)
	host, err := cl.Nodes().Stats(ctx, nodeID)
	check("host stats", host.Uptime, uint64(5), err)
	check("collect node", nil, nil, cl.Nodes().CollectGarbage(ctx, nodeID))
	pools, _, err := cl.NodePools().List(ctx, nil)
	check("pools", len(pools), 2, err)
	pool, _, err := cl.NodePools().NodePool(ctx, "all", nil)
	check("pool", pool.Name, "all", err)
}

func checkAgent(t *testing.T, cl *api.Client) {
	t.Helper()
	ctx, check := t.Context(), checker(t)
	self, err := cl.Agent().Self(ctx)
	check("self", self.Member.Name, "a.global", err)
	members, err := cl.Agent().Members(ctx)
	check("members", len(members.Members), 1, err)
	servers, err := cl.Agent().Servers(ctx)
	check("servers", len(servers), 0, err)
	_, err = cl.Agent().Health(ctx) // the fake's client half has no servers
	var apiErr *api.Error
	if !errors.As(err, &apiErr) || apiErr.StatusCode != http.StatusInternalServerError || !strings.Contains(apiErr.Body, `"message":"no servers"`) {
		t.Errorf("health: got %v", err)
	}
	leader, err := cl.Status().Leader(ctx)
	check("leader", leader, "10.0.0.1:4647", err)
	peers, err := cl.Status().Peers(ctx)
	check("peers", len(peers), 1, err)
	regions, err := cl.Status().Regions(ctx)
	check("regions", regions[0], "global", err)
	spaces, _, err := cl.Namespaces().List(ctx, nil)
	check("namespaces", spaces[0].Name, "default", err)
	space, _, err := cl.Namespaces().Namespace(ctx, "default", nil)
	check("namespace", space.Name, "default", err)
	updated, err := cl.Operator().SetSchedulerConfig(ctx, &nomadish.SchedulerConfiguration{SchedulerAlgorithm: "spread"}, nil)
	check("set scheduler", updated, true, err)
	config, _, err := cl.Operator().SchedulerConfig(ctx, nil)
	check("scheduler", config.SchedulerAlgorithm, "spread", err)
	updated, err = cl.Operator().SetSchedulerConfig(ctx, config, nomadish.Ptr(uint64(99)))
	check("set scheduler at an old index", updated, false, err)
	check("gc", nil, nil, cl.Operator().CollectGarbage(ctx))
}

// Files and logs come through the client as they are read.
func TestClientFiles(t *testing.T) {
	for name, cl := range clients(t, newCluster().api(t), api.Config{}) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			files, err := cl.Files().List(ctx, allocID, "/alloc")
			if err != nil || files[0].Name != "/alloc" {
				t.Errorf("ls: got %v, %v", files, err)
			}
			info, err := cl.Files().Stat(ctx, allocID, "x")
			if err != nil || info.Name != "x" {
				t.Errorf("stat: got %v, %v", info, err)
			}
			body, err := cl.Files().Read(ctx, &nomadish.FileRequest{AllocID: allocID, Path: "x", Offset: 2, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(body)
			if err := errors.Join(err, body.Close()); err != nil || string(content) != "234" {
				t.Errorf("read: got %q, %v", content, err)
			}
			_, err = cl.Files().Read(ctx, &nomadish.FileRequest{AllocID: allocID, Path: "../x"})
			if nomadish.KindOf(err) != nomadish.KindInvalid {
				t.Errorf("a path that escapes: got %v", err)
			}
			for frame, err := range cl.Files().Logs(ctx, &nomadish.LogRequest{AllocID: allocID, Task: "t", Type: "stdout", Follow: true}) {
				if err != nil || string(frame.Data) != "hello" {
					t.Errorf("logs: got %v, %v", frame, err)
				}
				break // ends the stream
			}
			var got []string
			for frame, err := range cl.Files().Logs(ctx, &nomadish.LogRequest{AllocID: allocID, Task: "breaks", Type: "stdout"}) {
				if err != nil {
					got = append(got, err.Error())
					continue
				}
				got = append(got, string(frame.Data))
			}
			if strings.Join(got, ",") != "x,disk gone (500)" {
				t.Errorf("a stream that breaks: got %q", got)
			}
			for _, err := range cl.Files().Stream(ctx, &nomadish.FileRequest{AllocID: "nope", Path: "x"}) {
				if !errors.Is(err, nomadish.ErrNotFound) {
					t.Errorf("an unknown allocation: got %v", err)
				}
			}
		})
	}
}

// A node talks to the servers with its secret; its allocations have their jobs.
func TestClientOfNode(t *testing.T) {
	c := newCluster()
	for name, cl := range clients(t, c.api(t), api.Config{NodeID: nodeID, NodeSecret: "node secret"}) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			n := cl.NodeAgent()
			c.asked = nil
			lease, err := n.Register(ctx, &nomadish.Node{ID: nodeID, SecretID: "not sent in the body"})
			if err != nil || lease.HeartbeatTTL.Seconds() != 10 || c.asked[len(c.asked)-1] != "register "+nodeID+" node secret" {
				t.Errorf("register: got %v, %v; server saw %q", lease, err, c.asked)
			}
			if lease, err = n.Heartbeat(ctx, nodeID, "ready"); err != nil || lease.HeartbeatTTL.Seconds() != 20 {
				t.Errorf("heartbeat: got %v, %v", lease, err)
			}
			if _, err := n.Heartbeat(ctx, nodeID, "gone"); !errors.Is(err, nomadish.ErrNotFound) {
				t.Errorf("heartbeat of an unknown node: got %v", err)
			}
			given, err := n.Allocations(ctx, nodeID, 3, 7)
			if err != nil || given.Index != 10 || given.Since != 3 || given.Count != 8 || len(given.Allocs) != 1 || nomadish.Val(given.Allocs[0].Job.ID) != "web" {
				t.Errorf("allocations: got %+v, %v", given, err)
			}
			c.updates = nil
			err = n.UpdateAllocations(ctx, nodeID, []*nomadish.Allocation{{ID: allocID, ClientStatus: "running"}})
			if err != nil || len(c.updates) != 1 || c.updates[0].ClientStatus != "running" {
				t.Errorf("update: got %v; server saw %v", err, c.updates)
			}
			if _, err := n.Register(ctx, &nomadish.Node{ID: farNode}); nomadish.KindOf(err) != nomadish.KindDenied {
				t.Errorf("another node: got %v", err)
			}
		})
	}
}

// Nodes and servers speak the binary encoding; a broken body in it is the node's fault.
func TestBinaryBodies(t *testing.T) {
	a := newCluster().api(t)
	path := "/v1/internal/node/" + nodeID
	identity := []string{headerNodeID, nodeID, headerNodeSecret, "node secret"}
	binary := append([]string{"Content-Type", nomadish.BinaryMediaType, "Accept", nomadish.BinaryMediaType}, identity...)
	got := ask(t, a, "GET", path+"/allocations", "", binary...)
	out := &nomadish.NodeAllocations{}
	if err := codec.Unmarshal([]byte(got.body), out); err != nil || out.Link() != nil || got.header.Get("Content-Type") != nomadish.BinaryMediaType {
		t.Errorf("got %d %q %v, %v", got.status, got.body, got.header, err)
	}
	if got := ask(t, a, "PUT", path, string(codec.Marshal(&nomadish.Node{ID: nodeID})), binary...); got.status != 200 {
		t.Errorf("register: got %d %q", got.status, got.body)
	}
	if got := ask(t, a, "PUT", path, "\xff\xff\xff\xff\xff", binary...); got.status != 400 || !strings.HasPrefix(got.body, "request body: codec: ") {
		t.Errorf("a broken body: got %d %q", got.status, got.body)
	}
	if got := ask(t, a, "GET", path+"/allocations", "", identity...); got.header.Get("Content-Type") != "application/json" {
		t.Errorf("who does not ask for it: got %v", got.header)
	}
	if got := ask(t, a, "GET", "/v1/node/"+nodeID, "", "Accept", nomadish.BinaryMediaType); got.header.Get("Content-Type") != "application/json" {
		t.Errorf("other routes: got %v", got.header)
	}
}
