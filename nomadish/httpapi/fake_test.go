package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// cluster is a server, and a node in it, that live in maps.
type cluster struct {
	mu       sync.Mutex
	index    uint64
	changed  chan struct{} // closed by the next change
	jobs     map[string]*nomadish.Job
	allocs   []*nomadish.AllocationListStub
	evals    []*nomadish.Evaluation
	nodes    []*nomadish.NodeListStub
	config   nomadish.SchedulerConfiguration
	restored uint64

	syncErr   error
	syncs     int
	leader    http.RoundTripper
	denied    string // permission that is refused
	asked     []string
	registers []*nomadish.JobRegisterRequest
	stopped   []*nomadish.JobDeregisterRequest
	fault     any
	regErr    error
	updates   []*nomadish.Allocation
	collected []string
}

func newCluster() *cluster {
	return &cluster{index: 10, changed: make(chan struct{}), jobs: map[string]*nomadish.Job{}}
}

// api serves the cluster.
func (c *cluster) api(t testing.TB, change ...func(*Config, *Backends)) *API {
	t.Helper()
	cfg := Config{}
	back := Backends{
		Authority: c, Router: routerOf{c}, Agent: c, Metrics: c,
		Server: &Server{
			Reads: c, Status: c, Jobs: c, JobWrites: c, JobVersions: c, Planner: c, Scaling: c, Launches: c, Parser: c, Allocations: c, Evaluations: c,
			Deployments: c, Nodes: nodesOf{c}, NodeWrites: c, NodeAgents: c, Introductions: c, Operator: c, Catalog: c, System: c, Keyring: c,
		},
		Node: &Node{ID: nodeID, Files: filesOf{c}, Usage: usageOf{c}},
	}
	for _, f := range change {
		f(&cfg, &back)
	}
	a, err := New(cfg, back)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const (
	nodeID   = "11111111-1111-1111-1111-111111111111"
	farNode  = "22222222-2222-2222-2222-222222222222"
	allocID  = "33333333-3333-3333-3333-333333333333"
	farAlloc = "44444444-4444-4444-4444-444444444444"
)

// put stores a job and wakes who waits.
func (c *cluster) put(j *nomadish.Job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	j.ModifyIndex, j.CreateIndex = nomadish.Ptr(c.index), nomadish.Ptr(c.index)
	c.jobs[nomadish.Val(j.ID)] = j
	close(c.changed)
	c.changed = make(chan struct{})
}

func job(id string) *nomadish.Job {
	return &nomadish.Job{ID: &id, Name: &id, Namespace: nomadish.Ptr("default"), Status: nomadish.Ptr("running"), Type: nomadish.Ptr("service")}
}

// watch is the start of each read.
func (c *cluster) watch(ws memdb.WatchSet) uint64 {
	if ws != nil {
		ws.Add(c.changed)
	}
	return c.index
}

var errMissing = nomadish.Errorf(nomadish.KindNotFound, "job not found")

func (c *cluster) Authenticate(_ context.Context, cr nomadish.Credentials) (nomadish.Caller, error) {
	switch cr.Token {
	case "bad":
		return nomadish.Caller{}, nomadish.Errorf(nomadish.KindDenied, "Permission denied")
	case "", "secret":
	}
	if cr.NodeSecret == "node secret" {
		return nomadish.Caller{Kind: nomadish.CallerNode, ID: cr.NodeID, Addr: cr.Addr}, nil
	}
	if cr.PeerKind == nomadish.CallerServer {
		return nomadish.Caller{Kind: nomadish.CallerServer, ID: cr.PeerID, Addr: cr.Addr}, nil
	}
	return nomadish.Caller{Kind: nomadish.CallerToken, Addr: cr.Addr, Rights: c}, nil
}

// Management and Allows are the rights of everybody who is neither node nor server.
func (c *cluster) Management() bool { return c.denied != string(nomadish.PermManagement) }

func (c *cluster) Allows(p nomadish.Permission, namespace, _ string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, string(p)+" "+namespace)
	return string(p) != c.denied
}

func (c *cluster) Leader(context.Context) (string, error) { return "10.0.0.1:4647", nil }

func (c *cluster) Sync(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncs++
	return c.syncErr
}

func (c *cluster) Contact() (bool, time.Duration)              { return true, 3 * time.Millisecond }
func (c *cluster) Serving() error                              { return nil }
func (c *cluster) Restored() uint64                            { return c.restored }
func (c *cluster) CommitIndex(context.Context) (uint64, error) { return c.index, nil }
func (c *cluster) Peers(context.Context) ([]string, error)     { return []string{"10.0.0.1:4647"}, nil }
func (c *cluster) Regions(context.Context) ([]string, error)   { return []string{"global"}, nil }
func (c *cluster) Self(context.Context) (*nomadish.AgentSelf, error) {
	return &nomadish.AgentSelf{Member: nomadish.Member{Name: "a.global"}}, nil
}

func (c *cluster) Members(context.Context) (*nomadish.ServerMembers, error) {
	return &nomadish.ServerMembers{Members: []*nomadish.Member{{Name: "a.global"}}}, nil
}
func (c *cluster) Servers(context.Context) ([]string, error) { return nil, nil }
func (c *cluster) Health(context.Context) *nomadish.AgentHealth {
	return &nomadish.AgentHealth{Server: &nomadish.HealthStatus{Ok: true, Message: "ok"}, Client: &nomadish.HealthStatus{Message: "no servers"}}
}

func (c *cluster) Summary(context.Context) (any, error) { return map[string]int{"Gauges": 1}, nil }
func (c *cluster) Prometheus(w io.Writer) (string, bool, error) {
	_, err := io.WriteString(w, "# HELP x\n")
	return "text/plain; version=0.0.4", true, err
}

func (c *cluster) Jobs(_ context.Context, ws memdb.WatchSet, ns, prefix string, meta bool) (iter.Seq[*nomadish.JobListStub], uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var stubs []*nomadish.JobListStub
	for id, j := range c.jobs {
		if (ns == "*" || ns == nomadish.Val(j.Namespace)) && strings.HasPrefix(id, prefix) {
			stubs = append(stubs, j.Stub(nil, meta))
		}
	}
	slices.SortFunc(stubs, func(a, b *nomadish.JobListStub) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.ID, b.ID))
	})
	return slices.Values(stubs), c.watch(ws), nil
}

func (c *cluster) Job(_ context.Context, ws memdb.WatchSet, ns, id string) (*nomadish.Job, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault != nil {
		panic(c.fault)
	}
	index := c.watch(ws)
	j := c.jobs[id]
	if j == nil || nomadish.Val(j.Namespace) != ns {
		return nil, index, errMissing
	}
	return j, nomadish.Val(j.ModifyIndex), nil
}

func (c *cluster) JobVersions(ctx context.Context, ws memdb.WatchSet, ns, id string) ([]*nomadish.Job, uint64, error) {
	j, index, err := c.Job(ctx, ws, ns, id)
	return []*nomadish.Job{j}, index, err
}

func (c *cluster) JobSummary(ctx context.Context, ws memdb.WatchSet, ns, id string) (*nomadish.JobSummary, uint64, error) {
	_, index, err := c.Job(ctx, ws, ns, id)
	return &nomadish.JobSummary{JobID: id}, index, err
}

func (c *cluster) JobSubmission(ctx context.Context, ws memdb.WatchSet, ns, id string, version uint64) (*nomadish.JobSubmission, uint64, error) {
	_, index, err := c.Job(ctx, ws, ns, id)
	if err != nil || version > 0 {
		return nil, index, nomadish.Errorf(nomadish.KindNotFound, "job source not found")
	}
	return &nomadish.JobSubmission{Source: "job {}"}, index, nil
}

func (c *cluster) RegisterJob(_ context.Context, req *nomadish.JobRegisterRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	if c.regErr != nil {
		return nil, 0, c.regErr
	}
	if req.EnforceIndex {
		return nil, 0, nomadish.Errorf(nomadish.KindConflict, "Enforcing job modify index 7: job exists with conflicting job modify index: 10")
	}
	c.put(req.Job)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registers = append(c.registers, req)
	return &nomadish.JobRegisterResponse{EvalID: "e1", EvalCreateIndex: c.index, JobModifyIndex: c.index}, c.index, nil
}

func (c *cluster) DeregisterJob(_ context.Context, req *nomadish.JobDeregisterRequest) (*nomadish.JobDeregisterResponse, uint64, error) {
	c.stopped = append(c.stopped, req)
	return &nomadish.JobDeregisterResponse{EvalID: "e2"}, c.index, nil
}

func (c *cluster) EvaluateJob(_ context.Context, req *nomadish.JobEvaluateRequest) (*nomadish.JobRegisterResponse, uint64, error) {
	return &nomadish.JobRegisterResponse{EvalID: fmt.Sprint("e3 ", req.JobID, req.EvalOptions.ForceReschedule)}, c.index, nil
}

func (c *cluster) ValidateJob(_ context.Context, req *nomadish.JobValidateRequest) (*nomadish.JobValidateResponse, error) {
	return &nomadish.JobValidateResponse{DriverConfigValidated: true}, nil
}

func (c *cluster) ParseJob(_ context.Context, req *nomadish.JobsParseRequest) (*nomadish.Job, error) {
	return job(req.JobHCL), nil
}

func (c *cluster) Allocations(_ context.Context, ws memdb.WatchSet, ns, prefix string, _ nomadish.AllocStubOptions) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Values(c.allocs), c.watch(ws), nil
}

func (c *cluster) AllocationsByJob(ctx context.Context, ws memdb.WatchSet, ns, _ string, _ bool) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
	return c.Allocations(ctx, ws, ns, "", nomadish.AllocStubOptions{})
}

func (c *cluster) AllocationsByEvaluation(ctx context.Context, ws memdb.WatchSet, _ string) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
	return c.Allocations(ctx, ws, "", "", nomadish.AllocStubOptions{})
}

func (c *cluster) AllocationsByNode(context.Context, memdb.WatchSet, string) ([]*nomadish.Allocation, uint64, error) {
	return nil, c.index, nil
}

func (c *cluster) Allocation(_ context.Context, ws memdb.WatchSet, id string) (*nomadish.Allocation, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := c.watch(ws)
	switch id {
	case allocID:
		return &nomadish.Allocation{ID: id, NodeID: nodeID}, index, nil
	case farAlloc:
		return &nomadish.Allocation{ID: id, NodeID: farNode}, index, nil
	}
	return nil, index, nomadish.Errorf(nomadish.KindNotFound, "alloc not found")
}

func (c *cluster) StopAllocation(context.Context, *nomadish.AllocStopRequest) (*nomadish.AllocStopResponse, uint64, error) {
	return &nomadish.AllocStopResponse{EvalID: "e4"}, c.index, nil
}

func (c *cluster) Evaluations(_ context.Context, ws memdb.WatchSet, _, _ string) (iter.Seq[*nomadish.Evaluation], uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Values(c.evals), c.watch(ws), nil
}

func (c *cluster) EvaluationsByJob(ctx context.Context, ws memdb.WatchSet, _, _ string) (iter.Seq[*nomadish.Evaluation], uint64, error) {
	return c.Evaluations(ctx, ws, "", "")
}

func (c *cluster) Evaluation(_ context.Context, ws memdb.WatchSet, id string) (*nomadish.Evaluation, uint64, error) {
	return &nomadish.Evaluation{ID: id}, c.index, nil
}

func (c *cluster) RelatedEvaluations(context.Context, memdb.WatchSet, string) ([]*nomadish.EvaluationStub, error) {
	return []*nomadish.EvaluationStub{{ID: "related"}}, nil
}

func (c *cluster) DeleteEvaluations(_ context.Context, req *nomadish.EvaluationDeleteRequest) (int, uint64, error) {
	return len(req.EvalIDs), c.index, nil
}

func (c *cluster) Deployments(_ context.Context, ws memdb.WatchSet, _, _ string) (iter.Seq[*nomadish.Deployment], uint64, error) {
	return slices.Values([]*nomadish.Deployment(nil)), c.index, nil
}

func (c *cluster) DeploymentsByJob(ctx context.Context, ws memdb.WatchSet, _, _ string, _ bool) (iter.Seq[*nomadish.Deployment], uint64, error) {
	return c.Deployments(ctx, ws, "", "")
}

func (c *cluster) SetNodeEligibility(_ context.Context, req *nomadish.NodeEligibilityRequest) (*nomadish.NodeUpdateResponse, uint64, error) {
	return &nomadish.NodeUpdateResponse{NodeModifyIndex: c.index}, c.index, nil
}

func (c *cluster) EvaluateNode(context.Context, string) (*nomadish.NodeUpdateResponse, uint64, error) {
	return &nomadish.NodeUpdateResponse{}, c.index, nil
}

func (c *cluster) PurgeNode(context.Context, string) (*nomadish.NodeUpdateResponse, uint64, error) {
	return &nomadish.NodeUpdateResponse{}, c.index, nil
}

func (c *cluster) RegisterNode(_ context.Context, n *nomadish.Node) (*nomadish.NodeLease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, "register "+n.ID+" "+n.SecretID.Reveal())
	return &nomadish.NodeLease{HeartbeatTTL: 10 * time.Second, Index: c.index}, nil
}

func (c *cluster) Heartbeat(_ context.Context, id, status string) (*nomadish.NodeLease, error) {
	if status == "gone" {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "node not found")
	}
	return &nomadish.NodeLease{HeartbeatTTL: 20 * time.Second}, nil
}

func (c *cluster) NodeAllocations(_ context.Context, ws memdb.WatchSet, id string, since uint64, count int) (*nomadish.NodeAllocations, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := c.watch(ws)
	return &nomadish.NodeAllocations{
		Index: c.index, Since: since, Count: count + 1,
		Allocs: []*nomadish.Allocation{{ID: allocID, Namespace: "default", JobID: "web", JobVersion: 3}},
		Jobs:   []*nomadish.Job{{ID: nomadish.Ptr("web"), Namespace: nomadish.Ptr("default"), Version: nomadish.Ptr(uint64(3))}},
	}, index, nil
}

func (c *cluster) UpdateAllocations(_ context.Context, _ string, allocs []*nomadish.Allocation) (uint64, error) {
	c.updates = allocs
	return c.index, nil
}

func (c *cluster) SchedulerConfig(_ context.Context, ws memdb.WatchSet) (*nomadish.SchedulerConfiguration, uint64, error) {
	return &c.config, c.index, nil
}

func (c *cluster) SetSchedulerConfig(_ context.Context, config *nomadish.SchedulerConfiguration, cas *uint64) (bool, uint64, error) {
	if cas != nil && *cas != c.config.ModifyIndex {
		return false, c.index, nil
	}
	c.config = *config
	return true, c.index, nil
}

func (c *cluster) Namespaces(_ context.Context, ws memdb.WatchSet, _ string) (iter.Seq[*nomadish.Namespace], uint64, error) {
	return slices.Values([]*nomadish.Namespace{{Name: "default"}}), c.index, nil
}

func (c *cluster) Namespace(_ context.Context, ws memdb.WatchSet, name string) (*nomadish.Namespace, uint64, error) {
	return &nomadish.Namespace{Name: name}, c.index, nil
}

func (c *cluster) NodePools(_ context.Context, ws memdb.WatchSet, _ string) (iter.Seq[*nomadish.NodePool], uint64, error) {
	return slices.Values([]*nomadish.NodePool{{Name: "all"}, {Name: "default"}}), c.index, nil
}

func (c *cluster) NodePool(_ context.Context, ws memdb.WatchSet, name string) (*nomadish.NodePool, uint64, error) {
	return &nomadish.NodePool{Name: name}, c.index, nil
}

func (c *cluster) CollectGarbage(context.Context) error { return nil }
func (c *cluster) Keys(context.Context, memdb.WatchSet) (*nomadish.KeySet, uint64, error) {
	return &nomadish.KeySet{Keys: []map[string]any{}}, 1, nil
}

type routerOf struct{ *cluster }

func (c routerOf) Server(context.Context) (http.RoundTripper, error) { return c.leader, nil }
func (c routerOf) Leader(context.Context) (http.RoundTripper, error) { return c.leader, nil }
func (routerOf) Region(context.Context, string) (http.RoundTripper, error) {
	return nil, nomadish.Errorf(nomadish.KindInternal, "No path to region")
}

func (routerOf) Node(context.Context, string) (http.RoundTripper, error) {
	return nil, nomadish.Errorf(nomadish.KindInternal, "No path to node")
}

func (routerOf) Peer(_ context.Context, server string) (http.RoundTripper, error) {
	return nil, nomadish.Errorf(nomadish.KindInternal, "unknown Nomad server %s", server)
}

type nodesOf struct{ *cluster }

func (c nodesOf) Nodes(_ context.Context, ws memdb.WatchSet, _ string, _ nomadish.NodeStubOptions) (iter.Seq[*nomadish.NodeListStub], uint64, error) {
	return slices.Values(c.nodes), c.index, nil
}

func (c nodesOf) Node(_ context.Context, ws memdb.WatchSet, id string) (*nomadish.Node, uint64, error) {
	if id != nodeID && id != farNode {
		return nil, c.index, nomadish.Errorf(nomadish.KindNotFound, "node not found")
	}
	return &nomadish.Node{ID: id}, c.index, nil
}

type filesOf struct{ *cluster }

func (filesOf) Has(id string) bool                  { return id == allocID }
func (filesOf) Namespace(id string) (string, error) { return "default", nil }
func (filesOf) List(_ context.Context, _, path string) ([]*nomadish.AllocFileInfo, error) {
	return []*nomadish.AllocFileInfo{{Name: path, IsDir: true}}, nil
}

func (filesOf) Stat(_ context.Context, _, path string) (*nomadish.AllocFileInfo, error) {
	return &nomadish.AllocFileInfo{Name: path}, nil
}

func (filesOf) Read(_ context.Context, req *nomadish.FileRequest) (io.ReadCloser, error) {
	if strings.Contains(req.Path, "..") {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Path escapes the alloc directory")
	}
	content := "0123456789"[req.Offset:]
	if req.Limit > 0 {
		content = content[:req.Limit]
	}
	return io.NopCloser(strings.NewReader(content)), nil
}

func (filesOf) Stream(ctx context.Context, req *nomadish.FileRequest, emit func(*nomadish.StreamFrame) error) error {
	if err := emit(&nomadish.StreamFrame{Data: []byte("hello"), File: req.Path, Offset: 5}); err != nil || !req.Follow {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f filesOf) Logs(ctx context.Context, req *nomadish.LogRequest, emit func(*nomadish.StreamFrame) error) error {
	switch req.Task {
	case "zz":
		return nomadish.Errorf(nomadish.KindInvalid, "unknown task name %q", req.Task)
	case "breaks":
		if err := emit(&nomadish.StreamFrame{Data: []byte("x"), File: "f", Offset: 1}); err != nil {
			return err
		}
		return nomadish.Errorf(nomadish.KindInternal, "disk gone")
	}
	return f.Stream(ctx, &nomadish.FileRequest{Path: "alloc/logs/" + req.Task + "." + req.Type + ".0", Follow: req.Follow}, emit)
}

type usageOf struct{ *cluster }

func (usageOf) HostStats(context.Context) (*nomadish.HostStats, error) {
	return &nomadish.HostStats{Uptime: 5}, nil
}

func (usageOf) AllocStats(_ context.Context, _, task string) (*nomadish.AllocResourceUsage, error) {
	return &nomadish.AllocResourceUsage{Timestamp: 1}, nil
}

func (u usageOf) CollectGarbage(_ context.Context, id string) error {
	u.collected = append(u.collected, id)
	return nil
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes a request as net/http would hand it on.
func ask(t testing.TB, h http.Handler, method, target, body string, header ...string) answer {
	t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req := httptest.NewRequestWithContext(t.Context(), method, target, rd)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

func (c *cluster) IntroduceClient(context.Context, *nomadish.ClientIntroductionRequest) (*nomadish.ClientIntroductionResponse, error) {
	return &nomadish.ClientIntroductionResponse{JWT: "jwt"}, nil
}

func (c *cluster) CheckIntroduction(context.Context, *nomadish.Node, nomadish.SecretText) error {
	return nil
}
