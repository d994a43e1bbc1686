package endpoint_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/evals"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/state"
)

var epoch = time.Unix(1_700_000_000, 0)

// world is a server whose log goes straight to the state machine.
type world struct {
	*endpoint.Endpoint
	t     testing.TB
	store *state.Store

	// keyring has no keys before its Ready is called.
	keyring *secrets.Keyring

	mu       sync.Mutex
	machine  *fsm.FSM
	index    uint64
	refuse   error               // what the log answers instead of taking a command
	record   func(c fsm.Command) // is told of every command, if it is set
	renewed  []string
	collects int
}

func newWorld(t testing.TB, cfg endpoint.Config) *world { return newWorldWith(t, cfg, "") }

// newWorldWith signs identities with an algorithm.
func newWorldWith(t testing.TB, cfg endpoint.Config, algorithm string) *world {
	store := state.New()
	w := &world{t: t, store: store, machine: fsm.New(store, fsm.Config{})}
	cfg.Now = func() time.Time { return epoch }
	keyring, err := secrets.New(secrets.Config{Wrappers: []secrets.Wrapper{secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))}, Algorithm: algorithm, Now: cfg.Now}, store, w)
	if err != nil {
		t.Fatal(err)
	}
	w.keyring = keyring
	w.Endpoint = endpoint.New(cfg, store, w, w, w, evals.New(evals.Config{Now: cfg.Now}, store, w), keyring)
	w.apply(&fsm.TermStart{Term: 1, ClusterID: nomadish.NewID()})
	return w
}

// Propose implements endpoint.Proposer: a command goes through its encoding, as in the log.
func (w *world) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return 0, nil, w.refuse
	}
	if w.record != nil {
		w.record(c)
	}
	entry, err := fsm.Encode(c, "", epoch)
	if err != nil {
		return 0, nil, err
	}
	w.index++
	result := w.machine.Apply(&raft.Log{Index: w.index, Type: raft.LogCommand, Data: entry}).(fsm.Result)
	return result.Index, result.Value, result.Err
}

// Renew implements endpoint.Leases.
func (w *world) Renew(nodeID string) time.Duration {
	w.renewed = append(w.renewed, nodeID)
	return 10 * time.Second
}

// Elsewhere implements endpoint.Leases.
func (w *world) Elsewhere(string) string { return "" }

// InTouch implements endpoint.Leases.
func (w *world) InTouch() bool { return true }

// Collect implements endpoint.Collector.
func (w *world) Collect(context.Context) error {
	w.collects++
	return nil
}

func (w *world) apply(c fsm.Command) uint64 {
	w.t.Helper()
	index, _, err := w.Propose(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return index
}

// read is the state as it is now.
func (w *world) read() state.Reader { return w.store.Reader() }

// newJob is a valid job of one group "g" with one task "t".
func newJob(id string) *nomadish.Job {
	return &nomadish.Job{
		ID: &id, TaskGroups: []*nomadish.TaskGroup{{Name: nomadish.Ptr("g"), Tasks: []*nomadish.Task{{Name: "t", Driver: "mock"}}}},
	}
}

func newBatch(id string) *nomadish.Job {
	job := newJob(id)
	job.Type = nomadish.Ptr(nomadish.JobTypeBatch)
	return job
}

func (w *world) register(job *nomadish.Job) *nomadish.JobRegisterResponse {
	w.t.Helper()
	resp, _, err := w.RegisterJob(w.t.Context(), &nomadish.JobRegisterRequest{Job: job})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func (w *world) job(id string) *nomadish.Job {
	w.t.Helper()
	job, err := w.read().Job(nil, "default", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// version is the number of the job's current version.
func (w *world) version(id string) uint64 { return nomadish.Val(w.job(id).Version) }

func (w *world) eval(id string) *nomadish.Evaluation {
	w.t.Helper()
	eval, err := w.read().Evaluation(nil, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return eval
}

// newEvals lists the evaluations made since an index as "job trigger", sorted.
func (w *world) newEvals(since uint64) []string {
	made := []string{}
	for e := range w.read().Evaluations(nil) {
		if e.CreateIndex > since {
			made = append(made, e.JobID+" "+e.TriggeredBy)
		}
	}
	slices.Sort(made)
	return made
}

func nodeID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func newNode(i int) *nomadish.Node {
	return &nomadish.Node{
		ID: nodeID(i), SecretID: nomadish.SecretText(fmt.Sprint("secret", i)), Name: fmt.Sprint("n", i), Datacenter: "dc1",
		NodeResources: &nomadish.NodeResources{},
	}
}

// node registers a node.
func (w *world) node(i int) {
	w.t.Helper()
	if _, err := w.RegisterNode(w.t.Context(), newNode(i)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) nodeStatus(i int) string {
	w.t.Helper()
	n, err := w.read().Node(nil, nodeID(i))
	if err != nil {
		w.t.Fatal(err)
	}
	return n.Status
}

// place puts an allocation of a job's current version on a node, in a client status.
func (w *world) place(job string, node int, status string) string {
	w.t.Helper()
	j := w.job(job)
	a := &nomadish.Allocation{
		ID: nomadish.NewID(), Namespace: "default", JobID: job, JobVersion: nomadish.Val(j.Version), NodeID: nodeID(node),
		TaskGroup: "g", Name: job + ".g[0]", EvalID: nomadish.NewID(), DesiredStatus: nomadish.AllocDesiredRun,
		AllocatedResources: &nomadish.AllocatedResources{},
	}
	w.apply(fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: a.EvalID, Placed: []*nomadish.Allocation{a}}))
	w.say(node, status, a.ID)
	return a.ID
}

// say has a node report the status of allocations, past the endpoint.
func (w *world) say(node int, status string, ids ...string) {
	w.t.Helper()
	w.apply(&fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{fsm.NewNodeReport(nodeID(node), said(status, ids...))}})
}

// said is what a node reports of allocations.
func said(status string, ids ...string) []*nomadish.Allocation {
	var out []*nomadish.Allocation
	for _, id := range ids {
		out = append(out, &nomadish.Allocation{ID: id, ClientStatus: status})
	}
	return out
}

func (w *world) alloc(id string) *nomadish.Allocation {
	w.t.Helper()
	a, err := w.read().Allocation(nil, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// wantKind checks an error's kind and text.
func wantKind(t testing.TB, err error, kind nomadish.Kind, text string) {
	t.Helper()
	if err == nil || nomadish.KindOf(err) != kind || err.Error() != text {
		t.Errorf("got %v (kind %d), want %s (kind %d)", err, nomadish.KindOf(err), text, kind)
	}
}
