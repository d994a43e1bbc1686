package state_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// Who works from the state takes a snapshot and follows what changes after it.
func Example() {
	s := state.New()
	r, follower := s.Follow()
	for job := range r.Jobs(nil, state.AnyNamespace) {
		fmt.Println("there already:", *job.ID)
	}

	// Only package fsm does this.
	txn := s.Begin()
	w, err := txn.Writer(1, time.Now())
	if err == nil {
		_, _, err = w.PutJob(&nomadish.Job{Namespace: nomadish.Ptr("default"), ID: nomadish.Ptr("web")})
	}
	if err := errors.Join(err, w.Finish(), txn.Commit()); err != nil {
		fmt.Println(err)
		return
	}

	changes, err := follower.Next(context.Background())
	if errors.Is(err, state.ErrLagged) {
		return // take a new snapshot, and start again
	}
	for _, c := range changes.Changes {
		if job, ok := c.After.(*nomadish.Job); ok && c.Table == state.TableJobs {
			fmt.Println("changed at", changes.Index, "to version", *job.Version, "of", *job.ID)
		}
	}
	// Output: changed at 1 to version 0 of web
}
