package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// seen makes a view of a job of one group "g" that wants two allocations, right after its
// evaluation was done.
func seen(kind string, allocs ...*nomadish.AllocationListStub) *view {
	return &view{
		job: &nomadish.Job{
			ID: nomadish.Ptr("web"), Type: &kind, Version: nomadish.Ptr(uint64(1)), Status: nomadish.Ptr(nomadish.JobStatusRunning),
			TaskGroups: []*nomadish.TaskGroup{{
				Name: nomadish.Ptr("g"), Count: nomadish.Ptr(2),
				Update: &nomadish.UpdateStrategy{MinHealthyTime: nomadish.Ptr(7 * time.Second)},
			}},
		},
		evals:  []*nomadish.Evaluation{{ID: "e1", Status: nomadish.EvalStatusComplete}},
		allocs: allocs, evalID: "e1", version: 1,
	}
}

// placed makes an allocation with one task "t" whose state follows from the allocation's.
func placed(name, status string) *nomadish.AllocationListStub {
	state := &nomadish.TaskState{State: nomadish.TaskStatePending}
	switch status {
	case nomadish.AllocClientRunning:
		state.State = nomadish.TaskStateRunning
	case nomadish.AllocClientFailed:
		state = &nomadish.TaskState{State: nomadish.TaskStateDead, Failed: true, Events: []*nomadish.TaskEvent{
			{Type: nomadish.TaskEventTerminated, DisplayMessage: "Exit Code: 3"}, {Type: nomadish.TaskEventNotRestarting},
		}}
	case nomadish.AllocClientComplete:
		state.State = nomadish.TaskStateDead
	}
	return &nomadish.AllocationListStub{
		ID: "id-" + name + "-" + status, Name: name, TaskGroup: "g", JobVersion: 1, CreateIndex: 10,
		DesiredStatus: nomadish.AllocDesiredRun, ClientStatus: status, TaskStates: map[string]*nomadish.TaskState{"t": state},
	}
}

// judgement is a view, and what it is to say about the job's end.
type judgement struct {
	name    string
	view    *view
	change  func(v *view)
	outcome outcome
	hold    time.Duration
	reason  string // part
}

func (j judgement) check(t *testing.T) {
	if j.change != nil {
		j.change(j.view)
	}
	got := j.view.judge()
	if got.outcome != j.outcome || got.hold != j.hold || !strings.Contains(got.reason, j.reason) {
		t.Errorf("got %+v, want %q after %s because %q", got, j.outcome, j.hold, j.reason)
	}
}

// Evaluations that wait: for room, and for their time.
var (
	blocked = &nomadish.Evaluation{ID: "e2", Status: nomadish.EvalStatusBlocked}
	later   = &nomadish.Evaluation{ID: "e3", Status: nomadish.EvalStatusPending}
)

const (
	service, batch   = nomadish.JobTypeService, nomadish.JobTypeBatch
	running, pending = nomadish.AllocClientRunning, nomadish.AllocClientPending
	complete, failed = nomadish.AllocClientComplete, nomadish.AllocClientFailed
)

// TestJudgeService: what a view of a service says about its end.
func TestJudgeService(t *testing.T) {
	for _, tt := range []judgement{
		{name: "service up", view: seen(service, placed("a", running), placed("b", running)), outcome: outcomeRunning, hold: settle},
		{name: "service half up", view: seen(service, placed("a", running), placed("b", pending))},
		{name: "service placed in part, nothing waits", view: seen(service, placed("a", running))},
		{
			name: "service waits for room", view: seen(service, placed("a", running)), outcome: outcomeBlocked, hold: settle, reason: "1 of 2",
			change: func(v *view) { v.evals = append(v.evals, blocked) },
		},
		{
			name: "service still starts what has room", view: seen(service, placed("a", pending)),
			change: func(v *view) { v.evals = append(v.evals, blocked) },
		},
		{name: "service failed", view: seen(service, placed("a", running), placed("b", failed)), outcome: outcomeFailed, reason: `task "t": Exit Code: 3`},
		{
			name: "service failed earlier", view: seen(service, placed("a", running), placed("b", running), placed("b", failed)), outcome: outcomeRunning, hold: settle,
			change: func(v *view) { v.settled = map[string]bool{"id-b-failed": true} },
		},
		{
			name: "service after a restart", view: seen(service, placed("a", running), placed("b", running)), outcome: outcomeRunning, hold: 7 * time.Second,
			change: func(v *view) { v.allocs[0].TaskStates["t"].Restarts = 1 },
		},
		{
			name: "service restarted long ago", view: seen(service, placed("a", running), placed("b", running)), outcome: outcomeRunning, hold: settle,
			change: func(v *view) {
				v.allocs[0].TaskStates["t"].Restarts = 1
				v.earlier = map[string]uint64{v.allocs[0].ID + "/t": 1}
			},
		},
		{
			name: "service keeps failing", view: seen(service, placed("a", running), placed("b", pending)), outcome: outcomeFailed, reason: "keeps failing",
			change: func(v *view) { v.allocs[1].TaskStates["t"].Restarts = maxRestarts },
		},
		{
			name: "service to restart much later", view: seen(service, placed("a", running), placed("b", pending)), outcome: outcomeFailed, reason: "keeps failing",
			change: func(v *view) {
				s := v.allocs[1].TaskStates["t"]
				s.Restarts, s.Events = 1, []*nomadish.TaskEvent{{Type: nomadish.TaskEventRestarting, StartDelay: int64(time.Hour)}}
			},
		},
		{
			name: "health is not known yet", view: seen(service, placed("a", running), placed("b", running)),
			change: func(v *view) { v.allocs[0].DeploymentStatus = &nomadish.AllocDeploymentStatus{} },
		},
		{
			name: "unhealthy", view: seen(service, placed("a", running), placed("b", running)), outcome: outcomeFailed, reason: "unhealthy",
			change: func(v *view) {
				v.allocs[0].DeploymentStatus = &nomadish.AllocDeploymentStatus{Healthy: nomadish.Ptr(false)}
			},
		},
		{
			name: "an older version does not count", view: seen(service, placed("a", running), placed("b", running)),
			change: func(v *view) { v.allocs[0].JobVersion = 0 },
		},
	} {
		t.Run(tt.name, tt.check)
	}
}

// TestJudgeBatch: what a view of a batch job says about its end.
func TestJudgeBatch(t *testing.T) {
	for _, tt := range []judgement{
		{name: "batch runs", view: seen(batch, placed("a", complete), placed("b", running))},
		{name: "batch complete", view: seen(batch, placed("a", complete), placed("b", complete)), outcome: outcomeComplete, hold: settle},
		{
			name: "batch dead", view: seen(batch, placed("a", complete), placed("b", complete)), outcome: outcomeComplete,
			change: func(v *view) { v.job.Status = nomadish.Ptr(nomadish.JobStatusDead) },
		},
		{name: "batch failed", view: seen(batch, placed("a", complete), placed("b", failed)), outcome: outcomeFailed, hold: settle, reason: "Exit Code: 3"},
		{
			name: "batch is to be tried again", view: seen(batch, placed("a", complete), placed("b", failed)),
			change: func(v *view) { v.evals = append(v.evals, later) },
		},
		{
			name: "batch succeeds at the second try", view: seen(batch, placed("a", complete), placed("b", failed), placed("b", complete)), outcome: outcomeComplete, hold: settle,
			change: func(v *view) { v.allocs[2].CreateIndex++ },
		},
		{
			name: "batch waits for room", view: seen(batch, placed("a", complete)), outcome: outcomeBlocked, hold: settle,
			change: func(v *view) { v.evals = append(v.evals, blocked) },
		},
		{
			name: "batch goes on as long as something runs", view: seen(batch, placed("a", running)),
			change: func(v *view) { v.evals = append(v.evals, blocked) },
		},
	} {
		t.Run(tt.name, tt.check)
	}
}

// TestJudgeAnyJob: a job of any type ends when its evaluation fails or somebody else changes it.
func TestJudgeAnyJob(t *testing.T) {
	for _, tt := range []judgement{
		{name: "evaluation waits", view: seen(service), change: func(v *view) { v.evals[0].Status = nomadish.EvalStatusPending }},
		{
			name: "evaluation failed", view: seen(service), outcome: outcomeFailed, hold: settle,
			change: func(v *view) { v.evals[0].Status = nomadish.EvalStatusFailed },
		},
		{name: "stopped", view: seen(service), outcome: outcomeFailed, reason: "stopped", change: func(v *view) { v.job.Stop = nomadish.Ptr(true) }},
		{name: "replaced", view: seen(service), outcome: outcomeFailed, reason: "version 2", change: func(v *view) { v.job.Version = nomadish.Ptr(uint64(2)) }},
		{name: "purged", view: seen(service), outcome: outcomeFailed, reason: "purged", change: func(v *view) { v.job = nil }},
	} {
		t.Run(tt.name, tt.check)
	}
}

// TestOverdue: a job whose task keeps restarting has failed when its time is over; one that
// only takes long has not.
func TestOverdue(t *testing.T) {
	v := seen(nomadish.JobTypeService, placed("a", nomadish.AllocClientPending))
	if got := v.overdue(time.Minute); got.outcome != outcomeTimeout {
		t.Errorf("slow: got %+v", got)
	}
	v.allocs[0].TaskStates["t"].Restarts = 1
	if got := v.overdue(time.Minute); got.outcome != outcomeFailed || !strings.Contains(got.reason, `task "t"`) {
		t.Errorf("restarting: got %+v", got)
	}
}
