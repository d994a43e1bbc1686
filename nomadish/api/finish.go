package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Finish registers a job and returns when it is dead: nil when all that it ran has succeeded,
// else an error that names what failed. It is meant for batch jobs: a service never ends.
func (j Jobs) Finish(ctx context.Context, job *nomadish.Job) error {
	if err := j.register(ctx, job); err != nil {
		return err
	}
	q := &Query{Namespace: nomadish.Val(job.Namespace), MinIndex: 1, Wait: time.Minute}
	for {
		now, meta, err := j.Job(ctx, nomadish.Val(job.ID), q)
		if err != nil {
			return err
		}
		if nomadish.Val(now.Status) == nomadish.JobStatusDead {
			return j.failures(ctx, job)
		}
		q.MinIndex = meta.Index
	}
}

// register asks again while an agent that has just begun has no leader yet.
func (j Jobs) register(ctx context.Context, job *nomadish.Job) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, err := j.Register(ctx, &nomadish.JobRegisterRequest{Job: job})
		if nomadish.KindOf(err) != nomadish.KindNoLeader || err == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

func (j Jobs) failures(ctx context.Context, job *nomadish.Job) error {
	allocs, _, err := j.Allocations(ctx, nomadish.Val(job.ID), false, &Query{Namespace: nomadish.Val(job.Namespace)})
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range allocs {
		if a.ClientStatus != nomadish.AllocClientComplete && a.NextAllocation == "" {
			errs = append(errs, fmt.Errorf("allocation %s of %s is %s: %s", a.ID, a.Name, a.ClientStatus, a.ClientDescription))
		}
	}
	if len(allocs) == 0 {
		errs = append(errs, fmt.Errorf("job %s ended without running", nomadish.Val(job.ID)))
	}
	return errors.Join(errs...)
}
