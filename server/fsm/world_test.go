package fsm_test

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// Random commands use few ids, so that they meet.
const (
	someNodes  = 4
	someJobs   = 3
	someAllocs = 12
	someEvals  = 8
)

// id is the UUID of one of the things of a kind.
func id(kind byte, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, kind) }

func nodeID(t *rapid.T) string  { return id('n', rapid.IntRange(0, someNodes-1).Draw(t, "node")) }
func allocID(t *rapid.T) string { return id('a', rapid.IntRange(0, someAllocs-1).Draw(t, "alloc")) }
func jobID(t *rapid.T) string {
	return fmt.Sprintf("job%d", rapid.IntRange(0, someJobs-1).Draw(t, "job"))
}

func drawEval(t *rapid.T) *nomadish.Evaluation {
	job := rapid.IntRange(0, someJobs-1).Draw(t, "job of eval")
	return &nomadish.Evaluation{
		// Evaluations of a job have ids of their own: they can't change their job.
		ID:        id('e', rapid.IntRange(0, someEvals-1).Draw(t, "eval")*someJobs+job),
		Namespace: "default", JobID: fmt.Sprintf("job%d", job), Type: "service",
		Status:            rapid.SampledFrom([]string{"pending", "blocked", "complete", "failed", "canceled"}).Draw(t, "eval status"),
		QueuedAllocations: map[string]int{"group": rapid.IntRange(0, 3).Draw(t, "queued")},
	}
}

func drawJob(t *rapid.T) *nomadish.Job {
	return &nomadish.Job{
		Namespace: nomadish.Ptr("default"), ID: nomadish.Ptr(jobID(t)), Type: nomadish.Ptr("service"),
		Stop:       nomadish.Ptr(rapid.IntRange(0, 5).Draw(t, "stop") == 0),
		TaskGroups: []*nomadish.TaskGroup{{Name: nomadish.Ptr("group"), Count: nomadish.Ptr(rapid.IntRange(0, 4).Draw(t, "count"))}},
	}
}

func drawPlan(t *rapid.T) *fsm.ApplyPlan {
	part := fsm.PlannedPart{EvalID: id('e', 0)}
	job := jobID(t)
	for range rapid.IntRange(0, 3).Draw(t, "placements") {
		part.Placed = append(part.Placed, &nomadish.Allocation{
			ID: allocID(t), Namespace: "default", JobID: job, TaskGroup: "group", NodeID: nodeID(t), EvalID: id('e', 0),
			JobVersion:    rapid.SampledFrom([]uint64{0, 0, 0, 1, 2}).Draw(t, "version"),
			DesiredStatus: "run", ClientStatus: rapid.SampledFrom([]string{"", "pending", "lost"}).Draw(t, "client status"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "stops") {
		part.Stopped = append(part.Stopped, &nomadish.Allocation{
			ID: allocID(t), DesiredStatus: "stop", ClientStatus: rapid.SampledFrom([]string{"running", "lost", "unknown"}).Draw(t, "client status"),
		})
	}
	return fsm.NewApplyPlan(rapid.SampledFrom([]uint64{1, 2, 3, 3, 3}).Draw(t, "term"), part)
}

func drawReport(t *rapid.T) *fsm.UpdateAllocsFromNode {
	var said []*nomadish.Allocation
	for range rapid.IntRange(1, 4).Draw(t, "reports") {
		said = append(said, &nomadish.Allocation{ID: allocID(t), ClientStatus: rapid.SampledFrom([]string{
			"pending", "running", "complete", "failed", "lost", "unknown", "nonsense",
		}).Draw(t, "client status")})
	}
	return &fsm.UpdateAllocsFromNode{
		Reports: []*fsm.NodeReport{fsm.NewNodeReport(nodeID(t), said)},
		Evals:   []*nomadish.Evaluation{drawEval(t)},
	}
}

// drawCommand draws a command of any kind; many fail.
func drawCommand(t *rapid.T) fsm.Command {
	switch rapid.IntRange(0, 19).Draw(t, "command") {
	case 0, 1:
		eval := drawEval(t)
		job := drawJob(t)
		job.ID = &eval.JobID
		return &fsm.RegisterJob{Job: job, Eval: eval, Submission: &nomadish.JobSubmission{Source: "job {}"}}
	case 2:
		return &fsm.DeregisterJob{Namespace: "default", JobID: jobID(t), Purge: rapid.Bool().Draw(t, "purge"), NoShutdownDelay: true}
	case 3, 4, 5:
		return &fsm.RegisterNode{Node: &nomadish.Node{ID: nodeID(t), Name: "node", SecretID: rapid.SampledFrom([]nomadish.SecretText{"a", "a", "a", "b"}).Draw(t, "secret")}}
	case 6:
		return &fsm.UpdateNodeStatus{NodeID: nodeID(t), Status: rapid.SampledFrom([]string{"ready", "down", "odd"}).Draw(t, "status")}
	case 7:
		return &fsm.DeregisterNode{NodeIDs: []string{nodeID(t)}, UnlessReady: rapid.Bool().Draw(t, "unless ready")}
	case 8, 9, 10, 11:
		return drawPlan(t)
	case 12, 13, 14:
		return drawReport(t)
	case 15:
		return &fsm.UpdateEvaluations{Evals: []*nomadish.Evaluation{drawEval(t), drawEval(t)}}
	case 16:
		return &fsm.DeleteEvaluations{EvalIDs: []string{drawEval(t).ID}, AllocIDs: []string{allocID(t), allocID(t)}}
	case 17:
		return &fsm.PurgeJobs{Jobs: []fsm.JobName{{Namespace: "default", ID: jobID(t)}}}
	case 18:
		return &fsm.TransitionAllocs{AllocIDs: []string{allocID(t)}, Transition: nomadish.DesiredTransition{Migrate: nomadish.Ptr(true)}}
	}
	return drawRare(t)
}

func drawRare(t *rapid.T) fsm.Command {
	switch rapid.IntRange(0, 10).Draw(t, "rare command") {
	case 0:
		return &fsm.TermStart{Term: uint64(rapid.IntRange(1, 3).Draw(t, "term")), ClusterID: id('c', 1)}
	case 1:
		return &fsm.StabilizeJob{Namespace: "default", JobID: jobID(t), Version: uint64(rapid.IntRange(0, 2).Draw(t, "version")), Stable: true}
	case 2:
		return &fsm.SetSchedulerConfig{Config: &nomadish.SchedulerConfiguration{SchedulerAlgorithm: "spread"}, EnforceIndex: rapid.Bool().Draw(t, "enforce")}
	case 3:
		return &fsm.StoreSubmission{Namespace: "default", JobID: jobID(t), Submission: &nomadish.JobSubmission{Source: "x"}}
	case 4:
		return &fsm.RaiseClusterLevel{Level: 1}
	case 5:
		return &fsm.PutIdentityKey{Key: &nomadish.IdentityKey{ID: id('k', rapid.IntRange(1, 3).Draw(t, "key")), Algorithm: nomadish.AlgorithmEdDSA, PublicKey: []byte("public")}}
	case 6:
		return &fsm.Barrier{}
	case 7:
		return &fsm.SetAutopilot{Config: nomadish.DefaultAutopilot(), EnforceIndex: rapid.Bool().Draw(t, "enforce")}
	}
	return drawACL(t)
}

// drawLog draws a log: all nodes and jobs are registered, and then any commands follow.
// Index and time grow, but the time not always.
func drawLog(t *rapid.T) []*raft.Log {
	var logs []*raft.Log
	at := start
	add := func(request string, c fsm.Command) {
		logs = append(logs, entry(t, uint64(10+len(logs)), request, at, c))
	}
	for i := range someNodes {
		add("", &fsm.RegisterNode{Node: &nomadish.Node{ID: id('n', i), Name: "node", SecretID: "a"}})
	}
	for i := range someJobs {
		job := drawJob(t)
		job.ID, job.Stop = nomadish.Ptr(fmt.Sprintf("job%d", i)), nomadish.Ptr(false)
		add("", &fsm.RegisterJob{Job: job})
	}
	add("", rootKey(1, nomadish.RootKeyActive))
	for range rapid.IntRange(1, 60).Draw(t, "commands") {
		at = at.Add(time.Duration(rapid.IntRange(-60, 200).Draw(t, "seconds")) * time.Second)
		request := ""
		if n := rapid.IntRange(0, 20).Draw(t, "request"); n < 3 {
			request = fmt.Sprint("request ", n)
		}
		add(request, drawCommand(t))
	}
	return logs
}
