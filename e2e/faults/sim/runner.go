package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// simulation is the package whose test runs one seed.
const simulation = "./server/servertest/sim"

// runner runs seeds.
type runner struct {
	first, seeds uint64
	jobs         int
	limit        time.Duration
	failures     string
	verbose      bool
}

// report is what a run says of itself.
type report struct {
	Seed       uint64
	Servers    int
	Violations []struct{ Invariant, What, At string }
	Counts     map[string]int
}

// outcome is what came of a seed.
type outcome struct {
	seed   uint64
	report *report // nil: the process died
	output string
	cpu    time.Duration
	err    error
}

func (o outcome) failed() bool {
	return o.err != nil || o.report == nil || len(o.report.Violations) > 0
}

// invariant names what was violated first.
func (o outcome) invariant() string {
	switch {
	case o.report != nil && len(o.report.Violations) > 0:
		return o.report.Violations[0].Invariant
	case strings.Contains(o.output, "panic: deadlock"):
		return "deadlock"
	case strings.Contains(o.output, "panic:"):
		return "panic"
	case strings.Contains(o.output, "SIGQUIT"):
		return "hang"
	}
	return "none"
}

// why tells in one line what is wrong.
func (o outcome) why() string {
	if o.report != nil && len(o.report.Violations) > 0 {
		v := o.report.Violations[0]
		return fmt.Sprintf("%s: %s", v.Invariant, strings.ReplaceAll(v.What, "\n", " "))
	}
	for line := range strings.Lines(o.output) {
		if strings.Contains(line, "panic:") || strings.Contains(line, "SIGQUIT") {
			return strings.TrimSpace(line)
		}
	}
	return fmt.Sprint(o.err)
}

// build compiles the simulation of the code in root.
func build(ctx context.Context, root, dir string) (string, error) {
	binary := filepath.Join(dir, "sim.test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-o", binary, simulation)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
}

// each runs the seeds, and tells of each one, until told returns false.
func (r *runner) each(ctx context.Context, binary string, told func(outcome) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next, outcomes := make(chan uint64), make(chan outcome)
	var workers sync.WaitGroup
	for range r.jobs {
		workers.Go(func() {
			for seed := range next {
				outcomes <- r.one(ctx, binary, seed)
			}
		})
	}
	workers.Go(func() {
		defer close(next)
		for seed := r.first; seed < r.first+r.seeds; seed++ {
			select {
			case next <- seed:
			case <-ctx.Done():
				return
			}
		}
	})
	go func() {
		workers.Wait()
		close(outcomes)
	}()
	for out := range outcomes {
		if ctx.Err() == nil && !told(out) {
			cancel()
		}
	}
}

// one runs a seed in a process of its own, on one core: what a seed shows changes least that way.
func (r *runner) one(ctx context.Context, binary string, seed uint64) outcome {
	out := outcome{seed: seed}
	dir, err := os.MkdirTemp("", "seed-")
	if err != nil {
		out.err = err
		return out
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is a temporary one
	said := filepath.Join(dir, "report.json")
	within, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	cmd := exec.CommandContext(within, binary, "-test.run", "^TestSchedules$", "-sim.seed", fmt.Sprint(seed), "-sim.seeds", "1",
		"-sim.reports", said, "-sim.failures", r.failures)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // it says what it is at
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", "SEED=")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	out.err = cmd.Run()
	out.output = output.String()
	if cmd.ProcessState != nil {
		out.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if b, err := os.ReadFile(said); err == nil {
		out.report = &report{}
		if err := json.Unmarshal(b, out.report); err != nil {
			out.err = err
		}
	}
	if out.report == nil && ctx.Err() == nil {
		r.keepOutput(out)
	}
	return out
}

// keepOutput keeps what a process said that died.
func (r *runner) keepOutput(out outcome) {
	err := os.MkdirAll(r.failures, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(r.failures, fmt.Sprintf("seed-%d.out", out.seed)), []byte(out.output), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// total is what all seeds together did.
type total struct {
	seeds, bad int
	cpu        time.Duration
	counts     map[string]int
}

func newTotal() *total { return &total{counts: map[string]int{}} }

func (t *total) add(o outcome) {
	t.seeds++
	t.cpu += o.cpu
	if o.failed() {
		t.bad++
	}
	if o.report == nil {
		return
	}
	t.counts[fmt.Sprintf("clusters of %d servers", o.report.Servers)]++
	for name, n := range o.report.Counts {
		t.counts[name] += n
	}
}

// print writes the table of all counts.
func (t *total) print(w io.Writer, took time.Duration) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, v any) { fmt.Fprintf(table, "%v\t  %s\t\n", v, name) }
	line("seeds", t.seeds)
	line("with violations", t.bad)
	line("took", took.Round(time.Second))
	if t.seeds > 0 {
		line("of CPU for each seed", (t.cpu / time.Duration(t.seeds)).Round(10*time.Millisecond))
	}
	for _, name := range slices.Sorted(maps.Keys(t.counts)) {
		line(name, t.counts[name])
	}
	_ = table.Flush() // to the terminal
}

// kinds are the faults that have to have happened in any run of enoughSeeds seeds.
var kinds = []string{
	"partition", "partition in halves", "one-way: hears nothing", "one-way: says nothing", "bridge", "flapping link", "delay and loss",
	"power cut", "power cut of all", "power cut, twice in a moment", "stop and start", "freeze", "slow disk", "stuck disk", "failing sync",
	"full disk", "clock jump of an hour", "clock jump of ten years", "node loses power", "node is cut off",
	"leadership transfer", "server added", "server removed", "server replaced", "snapshot", "collection of garbage",
}

const enoughSeeds = 20

// enough says which faults never happened.
func (t *total) enough() error {
	if t.seeds < enoughSeeds {
		return nil
	}
	for _, kind := range kinds {
		if t.counts["fault: "+kind] == 0 {
			return fmt.Errorf("the fault %q never happened", kind)
		}
	}
	return nil
}
