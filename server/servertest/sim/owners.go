package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
)

// What owners own.
const (
	jobsEach  = 4
	countMost = 4
)

// newJob is a service whose tasks each take memory and a port; a static port besides is one that no node
// can give twice.
func newJob(id string, count, static int) *nomadish.Job {
	network := &nomadish.NetworkResource{DynamicPorts: []nomadish.Port{{Label: "http"}}}
	if static > 0 {
		network.ReservedPorts = []nomadish.Port{{Label: "known", Value: static}}
	}
	return &nomadish.Job{
		ID: &id, TaskGroups: []*nomadish.TaskGroup{{
			Name: nomadish.Ptr("g"), Count: &count, Networks: []*nomadish.NetworkResource{network},
			ReschedulePolicy: &nomadish.ReschedulePolicy{
				Delay: nomadish.Ptr(5 * time.Second), DelayFunction: nomadish.Ptr("constant"), Unlimited: nomadish.Ptr(true),
			},
			Update: &nomadish.UpdateStrategy{
				MaxParallel: nomadish.Ptr(2), MinHealthyTime: nomadish.Ptr(time.Second),
				HealthyDeadline: nomadish.Ptr(10 * time.Second), ProgressDeadline: nomadish.Ptr(30 * time.Second),
			},
			Tasks: []*nomadish.Task{{
				Name: "t", Driver: "mock", Resources: &nomadish.Resources{CPU: nomadish.Ptr(100), MemoryMB: nomadish.Ptr(taskMemory)},
			}},
		}},
	}
}

// owner is the only one who changes its jobs, and knows what they have to be.
type owner struct {
	w      *world
	name   string
	number int
	rng    *rand.Rand
	target *member

	mu   sync.Mutex
	jobs map[string]*wanted
}

// wanted is what a job may be: what was acknowledged last, or one of those that nobody knows the outcome of.
type wanted struct{ specs []spec }

// spec is what an owner decides of a job.
type spec struct {
	Missing bool // it was never there
	Stopped bool
	Count   int
	Image   string // a change of which replaces allocations
}

func newOwner(w *world, i int) *owner {
	o := &owner{w: w, number: i, name: fmt.Sprint("o", i), rng: w.rng(streamOwner + uint64(i)), jobs: map[string]*wanted{}}
	for k := range jobsEach {
		o.jobs[fmt.Sprintf("app-%d-%d", i, k)] = &wanted{specs: []spec{{Missing: true}}}
	}
	o.elsewhere()
	return o
}

func (o *owner) elsewhere() {
	all := o.w.voters()
	o.target = all[o.rng.IntN(len(all))]
}

func (o *owner) run(ctx context.Context) {
	for ctx.Err() == nil {
		k := o.rng.IntN(jobsEach)
		id := fmt.Sprintf("app-%d-%d", o.number, k)
		tryCtx, cancel := context.WithTimeout(managing(ctx), opTimeout)
		most, port := countMost, 0
		if k == 0 { // one port of a node for each allocation, the same for the jobs of several owners
			most, port = 2, staticPort+o.number%2
		}
		if err := o.change(tryCtx, id, most, port); err != nil {
			o.elsewhere()
		}
		cancel()
		pause(ctx, time.Duration(200+o.rng.IntN(1500))*time.Millisecond)
	}
}

// last is what the job is, if it is known.
func (d *wanted) last() (spec, bool) { return d.specs[0], len(d.specs) == 1 }

// change registers, scales or stops a job, and reads it back.
func (o *owner) change(ctx context.Context, id string, most, port int) error {
	now, sure := o.jobs[id].last()
	next := now
	var do func(context.Context, *server.Server) error
	switch n := o.rng.IntN(10); {
	case n < 4 && sure && !now.Missing && !now.Stopped:
		next.Count = o.rng.IntN(most + 1)
		do = func(ctx context.Context, s *server.Server) error {
			_, _, err := s.Endpoint().ScaleJob(ctx, id, &nomadish.ScalingRequest{
				Count: nomadish.Ptr(int64(next.Count)), Target: map[string]string{"Group": "g"},
				WriteRequest: nomadish.WriteRequest{Namespace: namespace},
			})
			return err
		}
	case n < 5 && sure && !now.Missing && !now.Stopped:
		next.Stopped = true
		do = func(ctx context.Context, s *server.Server) error {
			_, _, err := s.Endpoint().DeregisterJob(ctx, &nomadish.JobDeregisterRequest{JobID: id, WriteRequest: nomadish.WriteRequest{Namespace: namespace}})
			return err
		}
	default:
		next = spec{Count: 1 + o.rng.IntN(most), Image: fmt.Sprint(o.rng.IntN(3))}
		do = func(ctx context.Context, s *server.Server) error {
			_, _, err := s.Endpoint().RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: jobOf(id, next, port)})
			return err
		}
	}
	err := o.w.ask(ctx, o.name, o.target, do)
	o.note(id, next, err)
	if err == nil {
		o.readBack(ctx, id, next)
	}
	return err
}

func jobOf(id string, s spec, port int) *nomadish.Job {
	j := newJob(id, s.Count, port)
	j.TaskGroups[0].Tasks[0].Env = map[string]string{"IMAGE": s.Image}
	return j
}

// note remembers what a job may be.
func (o *owner) note(id string, next spec, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.jobs[id]
	switch {
	case err == nil:
		d.specs = []spec{next}
		o.w.count("acknowledged job changes", 1)
	case errors.Is(err, consensus.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		if !slices.Contains(d.specs, next) {
			d.specs = append(d.specs, next)
		}
		o.w.count("unknown outcomes", 1)
	}
}

// readBack reads at any server what was acknowledged just now.
func (o *owner) readBack(ctx context.Context, id string, want spec) {
	all := o.w.voters()
	var got spec
	err := o.w.call(ctx, o.name, all[o.rng.IntN(len(all))], func(ctx context.Context, s *server.Server) error {
		if err := s.Sync(ctx); err != nil {
			return err
		}
		job, _, err := s.Endpoint().Job(ctx, nil, namespace, id)
		if err == nil {
			got = specOf(job)
		}
		return err
	})
	switch {
	case err == nil && !got.is(want):
		o.w.violate("I2", "job %s was acknowledged as %+v and read as %+v", id, want, got)
	case err != nil && nomadish.KindOf(err) == nomadish.KindNotFound:
		o.w.violate("I1", "job %s was acknowledged as %+v and is not there", id, want)
	case err == nil:
		o.w.count("reads", 1)
	}
}

func specOf(j *nomadish.Job) spec {
	g := j.TaskGroups[0]
	return spec{Stopped: nomadish.Val(j.Stop), Count: nomadish.Val(g.Count), Image: g.Tasks[0].Env["IMAGE"]}
}

// is compares what matters: of a stopped job nothing but that.
func (s spec) is(want spec) bool { return s == want || s.Stopped && want.Stopped }

// may says whether a job may be like that.
func (d *wanted) may(got spec) bool { return slices.ContainsFunc(d.specs, got.is) }
