//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// run registers a job on the shared node and purges it when the test ends.
func run(t *testing.T, job *nomadish.Job) *nomadish.JobRegisterResponse {
	t.Helper()
	resp, err := shared.Register(testContext(t), job)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := shared.Stopped(ctx, *job.ID, true); err != nil {
			t.Error(err)
		}
	})
	return resp
}

// A batch job whose task ends with 0 is complete, and the job is dead.
func TestBatchJobSucceeds(t *testing.T) {
	ctx := testContext(t)
	run(t, machine.Shell("succeeds", nomadish.JobTypeBatch, "echo done"))
	a, err := shared.Allocation(ctx, "succeeds", nomadish.AllocClientComplete, nomadish.AllocClientFailed)
	must(t, err)
	if a.ClientStatus != nomadish.AllocClientComplete || a.TaskStates[machine.Task].Failed {
		t.Errorf("got %s, events %v", a.ClientStatus, machine.Events(a))
	}
	must(t, machine.Until(ctx, "the job is dead", jobHasStatus("succeeds", nomadish.JobStatusDead)))
	out, err := shared.Output(ctx, a.ID, machine.Task)
	if err != nil || out != "done\n" {
		t.Errorf("output: got %q, %v", out, err)
	}
}

func jobHasStatus(id, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		job, _, err := shared.API.Jobs().Job(ctx, id, nil)
		if err != nil {
			return err
		}
		if got := nomadish.Val(job.Status); got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	}
}

// A task that crashes is started as often as its restart policy says; then the allocation
// has failed, and the events tell each exit code.
func TestCrashingJobFailsAfterItsRestarts(t *testing.T) {
	job := machine.Shell("crashes", nomadish.JobTypeBatch, "exit 3")
	job.TaskGroups[0].RestartPolicy.Attempts = nomadish.Ptr(2)
	job.TaskGroups[0].RestartPolicy.Delay = nomadish.Ptr(20 * time.Millisecond)
	run(t, job)
	a, err := shared.Allocation(testContext(t), "crashes", nomadish.AllocClientComplete, nomadish.AllocClientFailed)
	must(t, err)
	state := a.TaskStates[machine.Task]
	if a.ClientStatus != nomadish.AllocClientFailed || !state.Failed || state.Restarts != 2 {
		t.Errorf("got %s after %d restarts, want failed after 2; events %v", a.ClientStatus, state.Restarts, machine.Events(a))
	}
	if codes := exitCodes(a); fmt.Sprint(codes) != "[3 3 3]" {
		t.Errorf("exit codes: got %v, want [3 3 3]", codes)
	}
}

func exitCodes(a *nomadish.AllocationListStub) (codes []int) {
	for _, e := range a.TaskStates[machine.Task].Events {
		if e.Type == nomadish.TaskEventTerminated {
			codes = append(codes, e.ExitCode)
		}
	}
	return codes
}

// A stopped job's tasks end, and it can still be read; a purged one is gone.
func TestStopAndPurge(t *testing.T) {
	ctx := testContext(t)
	run(t, machine.Shell("stops", nomadish.JobTypeService, "exec sleep 1000"))
	a, err := shared.Allocation(ctx, "stops", nomadish.AllocClientRunning)
	must(t, err)
	must(t, shared.Stopped(ctx, "stops", false))
	must(t, machine.Until(ctx, "no process is left", func(context.Context) error {
		if pids, err := shared.TaskPIDs(a.ID); err != nil || len(pids) > 0 {
			return fmt.Errorf("processes %v, %w", pids, err)
		}
		return nil
	}))
	job, _, err := shared.API.Jobs().Job(ctx, "stops", nil)
	must(t, err)
	if !nomadish.Val(job.Stop) {
		t.Error("the job is not stopped")
	}
	must(t, shared.Stopped(ctx, "stops", true))
	if _, _, err := shared.API.Jobs().Job(ctx, "stops", nil); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("a purged job: got %v, want that it is not found", err)
	}
}

// A job that finds no place waits, its evaluation says why, and it runs when a node becomes
// eligible.
func TestBlockedJobRunsWhenANodeBecomesEligible(t *testing.T) {
	ctx := testContext(t)
	node, err := shared.NodeID(ctx)
	must(t, err)
	eligible := func(yes bool) {
		t.Helper()
		_, err := shared.API.Nodes().SetEligibility(context.WithoutCancel(ctx), node, yes)
		must(t, err)
	}
	eligible(false)
	t.Cleanup(func() { eligible(true) })
	run(t, machine.Shell("waits", nomadish.JobTypeService, "exec sleep 1000"))
	must(t, machine.Until(ctx, "the evaluation is blocked", isBlocked("waits", func(*nomadish.AllocationMetric) error { return nil })))
	eligible(true)
	_, err = shared.Allocation(ctx, "waits", nomadish.AllocClientRunning)
	must(t, err)
}

// A job for which there is no room waits, its evaluation names the resource, and it runs
// when the job that holds the room stops.
func TestBlockedJobRunsWhenThereIsRoom(t *testing.T) {
	ctx := testContext(t)
	big := func(id string) *nomadish.Job {
		job := machine.Shell(id, nomadish.JobTypeService, "exec sleep 1000")
		job.TaskGroups[0].Tasks[0].Resources.CPU = nomadish.Ptr(70_000) // of 100,000
		return job
	}
	run(t, big("first"))
	_, err := shared.Allocation(ctx, "first", nomadish.AllocClientRunning)
	must(t, err)
	run(t, big("second"))
	must(t, machine.Until(ctx, "the evaluation is blocked for CPU", isBlocked("second", func(m *nomadish.AllocationMetric) error {
		if m.NodesExhausted != 1 || m.DimensionExhausted["cpu"] != 1 {
			return fmt.Errorf("%d nodes exhausted, by %v", m.NodesExhausted, m.DimensionExhausted)
		}
		return nil
	})))
	must(t, shared.Stopped(ctx, "first", false))
	_, err = shared.Allocation(ctx, "second", nomadish.AllocClientRunning)
	must(t, err)
}

// isBlocked asks whether a job has a blocked evaluation, and an evaluation with reasons.
func isBlocked(jobID string, reason func(*nomadish.AllocationMetric) error) func(context.Context) error {
	return func(ctx context.Context) error {
		evals, _, err := shared.API.Jobs().Evaluations(ctx, jobID, nil)
		if err != nil {
			return err
		}
		blocked := false
		var metric *nomadish.AllocationMetric
		for _, e := range evals {
			blocked = blocked || e.Status == nomadish.EvalStatusBlocked
			if m := e.FailedTGAllocs[jobID]; m != nil {
				metric = m
			}
		}
		if !blocked || metric == nil {
			return fmt.Errorf("blocked %t, reasons %v", blocked, metric)
		}
		return reason(metric)
	}
}

// A changed job is a new version, an unchanged one is not, and both can be read.
func TestJobVersions(t *testing.T) {
	ctx := testContext(t)
	// A purged job of this ID from an earlier run may still have versions that allocations need.
	id := "versions-" + nomadish.NewID()
	job := machine.Shell(id, nomadish.JobTypeService, "exec sleep 1000")
	run(t, job)
	_, err := shared.Register(ctx, job)
	must(t, err)
	job.Meta = map[string]string{"changed": "yes"}
	_, err = shared.Register(ctx, job)
	must(t, err)
	versions, _, err := shared.API.Jobs().Versions(ctx, id, nil)
	must(t, err)
	var got []string
	for _, v := range versions {
		got = append(got, fmt.Sprint(nomadish.Val(v.Version), v.Meta["changed"]))
	}
	if want := "1yes 0"; strings.Join(got, " ") != want {
		t.Errorf("versions: got %q, want %q", strings.Join(got, " "), want)
	}
}

// A blocking query returns when what it asked for changes, not before, with a higher index.
func TestBlockingQueryWakes(t *testing.T) {
	ctx := testContext(t)
	run(t, machine.Shell("watched", nomadish.JobTypeService, "exec sleep 1000"))
	_, err := shared.Allocation(ctx, "watched", nomadish.AllocClientRunning)
	must(t, err)
	_, meta, err := shared.API.Jobs().Job(ctx, "watched", nil)
	must(t, err)
	type answer struct {
		job  *nomadish.Job
		meta api.Meta
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		job, after, err := shared.API.Jobs().Job(ctx, "watched", &api.Query{MinIndex: meta.Index, Wait: patience})
		answers <- answer{job, after, err}
	}()
	changed := machine.Shell("watched", nomadish.JobTypeService, "exec sleep 1000")
	changed.Meta = map[string]string{"changed": "yes"}
	_, err = shared.Register(ctx, changed)
	must(t, err)
	got := <-answers
	must(t, got.err)
	if got.meta.Index <= meta.Index || got.job.Meta["changed"] != "yes" {
		t.Errorf("got index %d and meta %v, want an index above %d and the change", got.meta.Index, got.job.Meta, meta.Index)
	}
}

// A stale read is answered, with the headers that say how old it may be.
func TestStaleRead(t *testing.T) {
	ctx := testContext(t)
	run(t, machine.Shell("stale", nomadish.JobTypeService, "exec sleep 1000"))
	must(t, machine.Until(ctx, "the job is there", func(ctx context.Context) error {
		jobs, meta, err := shared.API.Jobs().List(ctx, &api.Query{Stale: true, Prefix: "stale"})
		if err != nil {
			return err
		}
		if len(jobs) != 1 || !meta.KnownLeader || meta.Index == 0 {
			return fmt.Errorf("%d jobs, %+v", len(jobs), meta)
		}
		return nil
	}))
}

// An option that the driver does not know is a warning when the job is submitted, and the
// task fails with an event that names it.
func TestUnknownDriverOption(t *testing.T) {
	job := machine.Shell("misspelt", nomadish.JobTypeBatch, "true")
	job.TaskGroups[0].Tasks[0].Config["comand"] = "oops"
	resp := run(t, job)
	if !strings.Contains(resp.Warnings, `unknown option "comand"`) {
		t.Errorf("warnings: got %q", resp.Warnings)
	}
	a, err := shared.Allocation(testContext(t), "misspelt", nomadish.AllocClientComplete, nomadish.AllocClientFailed)
	must(t, err)
	if events := strings.Join(machine.Events(a), "\n"); a.ClientStatus != nomadish.AllocClientFailed || !strings.Contains(events, "comand") {
		t.Errorf("got %s with events\n%s", a.ClientStatus, events)
	}
}
