package scheduler_test

import (
	"fmt"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
	"github.com/nomadish/nomadish/server/scheduler"
)

// oneJob is a state that holds one job and nothing that runs.
type oneJob struct{ job *nomadish.Job }

func (s oneJob) Job(string, string) (*nomadish.Job, error)                { return s.job, nil }
func (s oneJob) JobVersion(string, string, uint64) (*nomadish.Job, error) { return s.job, nil }
func (s oneJob) AllocationsByJob(string, string) ([]*nomadish.Allocation, error) {
	return nil, nil
}

func (s oneJob) EvaluationsByJob(string, string) ([]*nomadish.Evaluation, error) {
	return nil, nil
}

func ExampleSchedule() {
	job := &nomadish.Job{
		ID: nomadish.Ptr("web"), Namespace: nomadish.Ptr("default"), Type: nomadish.Ptr("service"),
		TaskGroups: []*nomadish.TaskGroup{{Name: nomadish.Ptr("app"), Count: nomadish.Ptr(2)}},
	}
	out, err := scheduler.Schedule(
		scheduler.Snapshot{State: oneJob{job}, Capacity: capacity.New().View(), Now: time.Unix(0, 0)},
		&nomadish.Evaluation{ID: nomadish.NewID(), Namespace: "default", JobID: "web", Type: "service"},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Eval.Status, "with", out.Eval.QueuedAllocations["app"], "still to place:", out.Blocked.Status)
	// Output: complete with 2 still to place: blocked
}
