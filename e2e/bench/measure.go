//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// How often things are done.
const (
	starts = 10
	jobs   = 50
)

// starts measures from exec to a leader that answers, and to a node that takes tasks.
func (b *bench) starts(ctx context.Context) error {
	var http, leader, ready []time.Duration
	for range starts {
		err := b.with(ctx, "start", machine.Config{Dev: true}, func(ctx context.Context, n *machine.Node) error {
			begin := time.Now()
			if err := n.Start(); err != nil {
				return err
			}
			for _, step := range []struct {
				into  *[]time.Duration
				check func(context.Context) error
			}{
				{&http, func(ctx context.Context) error { return answers(ctx, n) }},
				{&leader, func(ctx context.Context) error { return leads(ctx, n) }},
				{&ready, func(ctx context.Context) error { return n.Ready(ctx) }},
			} {
				if err := machine.Until(ctx, "the agent is up", step.check); err != nil {
					return err
				}
				*step.into = append(*step.into, time.Since(begin))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.add(fmt.Sprintf("agent -dev, exec to HTTP, median of %d", starts), ms(percentile(http, 50)), 500, "ms")
	b.add("  to leader", ms(percentile(leader, 50)), 500, "ms")
	b.add("  to node ready", ms(percentile(ready, 50)), 0, "ms")
	return nil
}

func answers(ctx context.Context, n *machine.Node) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Addr+"/v1/agent/health?type=server", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func leads(ctx context.Context, n *machine.Node) error {
	leader, err := n.API.Status().Leader(ctx)
	if err == nil && leader == "" {
		err = errors.New("there is no leader")
	}
	return err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func percentile(all []time.Duration, p int) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)*p/100, len(all)-1)]
}

// idles measures an agent that has nothing to do.
func (b *bench) idles(ctx context.Context) error {
	return b.with(ctx, "idle", machine.Config{Dev: true}, func(ctx context.Context, n *machine.Node) error {
		if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
			return err
		}
		if err := wait(ctx, 5*time.Second); err != nil { // what it does once after its start is over
			return err
		}
		load, err := b.load(ctx, func() ([]machine.Process, error) { return []machine.Process{{PID: n.PID()}}, nil })
		if err != nil {
			return err
		}
		rss, err := machine.RSS(n.PID())
		if err != nil {
			return err
		}
		b.add("idle agent: memory", float64(rss)/(1<<20), 80, "MiB")
		b.add("  CPU, of a core", load*100, 0.3, "%")
		return nil
	})
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// load watches processes for a while and returns how many cores they keep busy.
func (b *bench) load(ctx context.Context, processes func() ([]machine.Process, error)) (float64, error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	used := func() (sum time.Duration, err error) {
		for _, p := range all {
			t, err := machine.CPUTime(p.PID)
			if err != nil {
				return 0, err
			}
			sum += t
		}
		return sum, nil
	}
	before, err := used()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := wait(ctx, b.idle); err != nil {
		return 0, err
	}
	after, err := used()
	return (after - before).Seconds() / time.Since(begin).Seconds(), err
}

// processes measures plain processes: how fast they start and what they cost.
func (b *bench) processes(ctx context.Context) error {
	return b.with(ctx, "processes", machine.Config{}, func(ctx context.Context, n *machine.Node) error {
		if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
			return err
		}
		took, err := submit(ctx, n, jobs, func(id string) *nomadish.Job {
			return machine.Job(id, nomadish.JobTypeService, "raw_exec", machine.Command("/bin/sleep", "100000"))
		})
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("raw_exec, submit to running, %d jobs: p50", jobs), ms(percentile(took, 50)), 60, "ms")
		b.add("  p99", ms(percentile(took, 99)), 0, "ms")
		return b.helpers(ctx, n)
	})
}

// helpers measures what runs beside the tasks.
func (b *bench) helpers(ctx context.Context, n *machine.Node) error {
	if err := wait(ctx, 5*time.Second); err != nil { // the reports of the starts are over
		return err
	}
	all, err := n.Processes()
	if err != nil {
		return err
	}
	ours := slices.DeleteFunc(all, machine.Process.Task)
	count, most, sum := 0, int64(0), int64(0)
	for _, p := range ours {
		if !p.Helper() || slices.Contains(p.Args, "containerd") {
			continue
		}
		private, err := machine.PrivateMemory(p.PID)
		if err != nil {
			return err
		}
		count, most, sum = count+1, max(most, private), sum+private
	}
	b.add("  helper processes per allocation", float64(count)/jobs, 1.001, "")
	b.add("  private memory of a helper, largest", float64(most)/(1<<20), 8.001, "MiB")
	b.add("  private memory of a helper, mean", float64(sum)/(1<<20)/float64(max(count, 1)), 0, "MiB")
	load, err := b.load(ctx, func() ([]machine.Process, error) { return ours, nil })
	if err != nil {
		return err
	}
	b.add(fmt.Sprintf("  CPU of agent and helpers with %d sleeping tasks, of a core", jobs), load*100, 1, "%")
	return nil
}

// submit registers jobs one after the other and returns how long each took until its
// allocation was reported as running.
func submit(ctx context.Context, n *machine.Node, count int, job func(id string) *nomadish.Job) ([]time.Duration, error) {
	var took []time.Duration
	for i := range count {
		j := job(fmt.Sprintf("bench-%d", i))
		begin := time.Now()
		if _, err := n.API.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: j}); err != nil {
			return nil, err
		}
		if err := runs(ctx, n, *j.ID); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// runs returns when a job's allocation runs, told by blocking queries.
func runs(ctx context.Context, n *machine.Node, jobID string) error {
	q := &api.Query{MinIndex: 1, Wait: time.Minute}
	for {
		allocs, meta, err := n.API.Jobs().Allocations(ctx, jobID, false, q)
		if err != nil {
			return err
		}
		for _, a := range allocs {
			switch a.ClientStatus {
			case nomadish.AllocClientRunning:
				return nil
			case nomadish.AllocClientPending:
			default:
				return fmt.Errorf("allocation %s of %s is %s: %s", a.ID, jobID, a.ClientStatus, strings.Join(machine.Events(a), "; "))
			}
		}
		q.MinIndex = meta.Index
	}
}

// counter builds the program that counts and its image's archive.
func (b *bench) counter(ctx context.Context) (dir, archive string, err error) {
	dir = filepath.Join(b.dir, "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	program, err := machine.Build(ctx, b.dir, "./e2e/faults/counter")
	if err != nil {
		return "", "", err
	}
	archive, err = machine.Image(ctx, dir, "nomadish.dev/counter:1", program)
	return dir, archive, err
}

// containers measures containers whose image is there already.
func (b *bench) containers(ctx context.Context) error {
	images, archive, err := b.counter(ctx)
	if err != nil {
		return err
	}
	return b.with(ctx, "containers", machine.Config{Archives: images}, func(ctx context.Context, n *machine.Node) error {
		if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
			return err
		}
		container := func(id string) *nomadish.Job {
			return machine.Job(id, nomadish.JobTypeService, "docker",
				map[string]any{"image": "nomadish.dev/counter:1", "load": archive, "args": []any{"-every", "1h"}})
		}
		first, err := submit(ctx, n, 1, func(string) *nomadish.Job { return container("first") })
		if err != nil {
			return err
		}
		took, err := submit(ctx, n, starts, container)
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("container, image present, submit to running, %d jobs: p50", starts), ms(percentile(took, 50)), 400, "ms")
		b.add("  longest", ms(percentile(took, 100)), 0, "ms")
		b.add("  the first one, with containerd's start and the image's import", ms(first[0]), 0, "ms")
		alone, err := b.shims(n)
		if err != nil {
			return err
		}
		if err := b.together(ctx, n, container("together"), alone); err != nil {
			return err
		}
		bridged, err := submit(ctx, n, starts, func(id string) *nomadish.Job {
			job := container("bridged-" + id)
			job.TaskGroups[0].Networks = []*nomadish.NetworkResource{{Mode: "bridge", DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
			return job
		})
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("  with a bridge network and a port, %d jobs: p50", starts), ms(percentile(bridged, 50)), 400, "ms")
		return b.atOnce(ctx, n, container("at-once"))
	})
}

// shims measures what runs beside containers of one task each, and returns the mean of what
// one of them has of memory.
func (b *bench) shims(n *machine.Node) (mean int64, err error) {
	all, err := n.Processes()
	if err != nil {
		return 0, err
	}
	count, sum := 0, int64(0)
	for _, p := range all {
		if !p.Helper() || slices.Contains(p.Args, "containerd") {
			continue
		}
		private, err := machine.PrivateMemory(p.PID)
		if err != nil {
			return 0, err
		}
		count, sum = count+1, sum+private
	}
	b.add("  helper processes per container", float64(count)/(starts+1), 1.001, "")
	b.add("  private memory of a helper, mean", float64(sum)/(1<<20)/float64(max(count, 1)), 8.001, "MiB")
	return sum / int64(max(count, 1)), nil
}
