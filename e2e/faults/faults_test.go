//go:build linux

// Package faults kills agents of the real program at random moments and checks that no task
// notices and nothing is lost.
package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// patience is how long a condition may take to come about on a busy machine.
const patience = 60 * time.Second

// often is how often something is done: the second figure counts with NOMADISH_SOAK.
func often(usually, soak int) int {
	if os.Getenv("NOMADISH_SOAK") != "" {
		return soak
	}
	return usually
}

// kills is how often the agent is killed.
func kills() int { return often(10, 100) }

// workload is what one agent is made to do while it is killed over and over.
type workload struct {
	t       *testing.T
	rand    *rand.Rand
	node    *machine.Node
	counter string // program
	archive string // its image

	steady map[string]string // jobs that run all the time: their process's identity
	brief  []string          // jobs whose task ends with 7 by itself
	long   []string          // jobs that are stopped at some time
	ended  []string          // long jobs that have been stopped
	made   int
}

// An agent is killed at random moments while tasks start, run, stop and end. After each
// time every running task still is the process that it was; in the end every task was
// started once, every end was reported as it was, no output is missing or doubled, and
// nothing is left.
func TestKilledAgentLosesNothing(t *testing.T) {
	seed := seed(t)
	t.Logf("NOMADISH_SEED=%d repeats the choices", seed)
	w := newWorkload(t, seed)
	w.steadyJobs()
	for round := range kills() {
		w.act()
		w.fault(round)
		w.checkSteady(round)
	}
	w.checkBrief()
	w.stopAll()
	w.checkRecords()
	w.purge()
}

func seed(t *testing.T) uint64 {
	text := os.Getenv("NOMADISH_SEED")
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// newWorkload starts an agent that keeps the allocations that have ended: their output is
// compared at the end.
func newWorkload(t *testing.T, seed uint64) *workload {
	t.Helper()
	return newWorkloadOn(t, seed, map[string]any{"gc_max_allocs": 1000})
}

// newWorkloadOn starts an agent whose client has these keys of the configuration.
func newWorkloadOn(t *testing.T, seed uint64, client map[string]any) *workload {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test runs real tasks and needs root")
	}
	w := &workload{t: t, rand: rand.New(rand.NewPCG(seed, 0)), steady: map[string]string{}}
	dir := t.TempDir()
	images := filepath.Join(dir, "images")
	w.must(os.Mkdir(images, 0o755))
	var err error
	w.counter, err = machine.Build(w.context(), dir, "./e2e/faults/counter")
	w.must(err)
	w.archive, err = machine.Image(w.context(), images, "nomadish.dev/counter:1", w.counter)
	w.must(err)
	w.node, err = machine.New(machine.Config{Dir: filepath.Join(dir, "node"), Archives: images, Client: client, Agent: map[string]any{"enable_debug": true}})
	w.must(err)
	t.Cleanup(func() {
		w.node.Report(t)
		if err := w.node.Close(); err != nil {
			t.Error(err)
		}
	})
	w.must(w.node.Start())
	w.must(w.node.Ready(w.context()))
	return w
}

func (w *workload) context() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *workload) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// job makes a job of the counter; every fourth one is a container.
func (w *workload) job(kind, jobType string, args ...string) *nomadish.Job {
	w.made++
	id := fmt.Sprintf("%s-%d", kind, w.made)
	if w.made%4 != 0 {
		return machine.Job(id, jobType, "raw_exec", machine.Command(w.counter, args...))
	}
	return w.container(id, jobType, args...)
}

// container makes a job of the counter in a container.
func (w *workload) container(id, jobType string, args ...string) *nomadish.Job {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	return machine.Job(id, jobType, "docker", map[string]any{"image": "nomadish.dev/counter:1", "load": w.archive, "args": list})
}

// steadyJobs starts the tasks that must stay the processes that they are.
func (w *workload) steadyJobs() {
	for range 4 {
		job := w.job("steady", nomadish.JobTypeService)
		_, err := w.node.Register(w.context(), job)
		w.must(err)
		w.steady[*job.ID] = ""
	}
	for id := range w.steady {
		w.steady[id] = w.identity(id)
	}
}

// identity names the process of a job's only allocation, once there is one.
func (w *workload) identity(jobID string) (identity string) {
	w.t.Helper()
	w.must(machine.Until(w.context(), jobID+" has one process", func(ctx context.Context) error {
		allocs, _, err := w.node.API.Jobs().Allocations(ctx, jobID, false, nil)
		if err != nil {
			return err
		}
		if len(allocs) != 1 || allocs[0].ClientStatus != nomadish.AllocClientRunning {
			return fmt.Errorf("%d allocations: %v", len(allocs), states(allocs))
		}
		pids, err := w.node.TaskPIDs(allocs[0].ID)
		if err == nil && len(pids) != 1 {
			err = fmt.Errorf("allocation %s has the processes %v", allocs[0].ID, pids)
		}
		identity = fmt.Sprint(allocs[0].ID, pids)
		return err
	}))
	return identity
}

func states(allocs []*nomadish.AllocationListStub) (all []string) {
	for _, a := range allocs {
		all = append(all, fmt.Sprint(a.ID, " ", a.ClientStatus, " ", machine.Events(a)))
	}
	return all
}

// act begins something that the next kill may interrupt.
func (w *workload) act() {
	switch choice := w.rand.IntN(4); {
	case choice == 0 && len(w.long) > 0:
		id := w.long[0]
		w.long, w.ended = w.long[1:], append(w.ended, id)
		w.retried("stop "+id, func(ctx context.Context) error {
			_, err := w.node.API.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{JobID: id})
			return err
		})
	case choice == 1:
		job := w.job("long", nomadish.JobTypeService)
		w.long = append(w.long, *job.ID)
		w.register(job)
	default:
		last := time.Duration(w.rand.IntN(600)+1) * time.Millisecond
		job := w.job("brief", nomadish.JobTypeBatch, "-for", last.String(), "-exit", "7")
		w.brief = append(w.brief, *job.ID)
		w.register(job)
	}
}

func (w *workload) register(job *nomadish.Job) {
	w.t.Helper()
	_, err := w.node.Register(w.context(), job)
	w.must(err)
}

func (w *workload) retried(what string, call func(context.Context) error) {
	w.t.Helper()
	w.must(machine.Until(w.context(), what, call))
}

// fault kills the agent at a random moment, now and then a second time while it starts, and
// waits until the next one is ready.
func (w *workload) fault(round int) {
	w.t.Helper()
	w.pass(120)
	w.must(w.node.Kill())
	w.pass(200)
	if round%3 == 2 {
		w.must(w.node.Start())
		w.pass(300)
		w.must(w.node.Kill())
	}
	w.startAgent()
}

// startAgent starts the agent, as a service manager does also a second time: a child that the
// killed agent was just forking may hold the listener until it runs its program.
func (w *workload) startAgent() {
	w.t.Helper()
	for try := 0; ; try++ {
		w.must(w.node.Start())
		err := w.node.Ready(w.context())
		if err != nil && try < 5 && strings.Contains(w.node.LogTail(256), "address already in use") {
			continue
		}
		w.must(err)
		return
	}
}

// pass lets a random time go by: when a fault strikes is what this test is about.
func (w *workload) pass(most int) { time.Sleep(time.Duration(w.rand.IntN(most)) * time.Millisecond) }

func (w *workload) checkSteady(round int) {
	w.t.Helper()
	for id, want := range w.steady {
		if got := w.identity(id); got != want {
			w.t.Fatalf("after kill %d: %s is %s, was %s", round, id, got, want)
		}
	}
}

// checkBrief checks that tasks that ended by themselves are reported with their code.
func (w *workload) checkBrief() {
	w.t.Helper()
	for _, id := range w.brief {
		a, err := w.node.Allocation(w.context(), id, nomadish.AllocClientComplete, nomadish.AllocClientFailed, nomadish.AllocClientLost)
		w.must(err)
		var codes []int
		for _, e := range a.TaskStates[machine.Task].Events {
			if e.Type == nomadish.TaskEventTerminated {
				codes = append(codes, e.ExitCode)
			}
		}
		if a.ClientStatus != nomadish.AllocClientFailed || fmt.Sprint(codes) != "[7]" {
			w.t.Errorf("%s: got %s with codes %v, want failed with [7]; events %v", id, a.ClientStatus, codes, machine.Events(a))
		}
	}
}

// stopAll stops what still runs and checks that no process is left.
func (w *workload) stopAll() {
	w.t.Helper()
	for id := range w.steady {
		w.ended = append(w.ended, id)
	}
	w.ended = append(w.ended, w.long...)
	for _, id := range w.ended {
		w.must(w.node.Stopped(w.context(), id, false))
	}
	w.must(machine.Until(w.context(), "no process of a task is left", func(context.Context) error {
		all, err := w.node.Processes()
		for _, p := range all {
			if p.Task() {
				return fmt.Errorf("process %s in %s", p, p.Group)
			}
		}
		return err
	}))
}

// checkRecords compares what each task says of itself with its output.
func (w *workload) checkRecords() {
	w.t.Helper()
	checked := 0
	for _, id := range append(w.brief, w.ended...) {
		allocs, _, err := w.node.API.Jobs().Allocations(w.context(), id, true, nil)
		w.must(err)
		for _, a := range allocs {
			checked++
			if err := w.checkRecord(a); err != nil {
				w.t.Errorf("%s, %v: %v", id, states(allocs), err)
			}
		}
		if len(allocs) > 1 {
			w.t.Errorf("%s has %d allocations: %v", id, len(allocs), states(allocs))
		}
	}
	w.t.Logf("%d kills, %d jobs, %d allocations compared with their records", kills(), w.made, checked)
}

// checkRecord checks that a task was started once and that its output holds each number
// that it wrote once and in order. A task that was stopped before it began wrote nothing;
// one that was stopped before its start was complete may have been killed at once.
func (w *workload) checkRecord(a *nomadish.AllocationListStub) error {
	data, err := os.ReadFile(w.node.AllocFile(a.ID, "alloc/data/record"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	record := strings.Split(strings.TrimSpace(string(data)), "\n")
	if strings.Count(string(data), "start") != 1 || strings.Contains(string(data), "doubled") {
		return fmt.Errorf("started more than once: %q", record)
	}
	lines, err := w.numbers(a.ID)
	if err != nil {
		return err
	}
	number, orderly := strings.CutPrefix(record[len(record)-1], "end ")
	if !orderly {
		if slices.ContainsFunc(a.TaskStates[machine.Task].Events, func(e *nomadish.TaskEvent) bool { return e.Type == nomadish.TaskEventStarted }) {
			return fmt.Errorf("did not end in order: %q", record)
		}
		return nil
	}
	if number != strconv.Itoa(lines) {
		return fmt.Errorf("the output has %d lines, the task wrote %s", lines, number)
	}
	return nil
}

// numbers checks that a task's output counts up from 0 and returns how many lines it has.
func (w *workload) numbers(allocID string) (int, error) {
	out, err := w.node.Output(w.context(), allocID, machine.Task)
	if err != nil {
		return 0, fmt.Errorf("output: %w", err)
	}
	count := 0
	for line := range strings.Lines(out) {
		if line != strconv.Itoa(count)+"\n" {
			return count, fmt.Errorf("line %d says %q", count, line)
		}
		count++
	}
	return count, nil
}

// purge forgets all jobs and checks that nothing is left.
func (w *workload) purge() {
	w.t.Helper()
	for _, id := range append(w.brief, w.ended...) {
		w.must(w.node.Stopped(w.context(), id, true))
	}
	w.must(machine.Until(w.context(), "nothing is left", func(context.Context) error { return w.node.Left() }))
}
