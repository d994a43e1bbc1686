// Package lifecycle starts the parts of a program in order and stops them in reverse.
//
// A part is a function that runs until its context ends and returns only when every
// goroutine that it started has ended:
//
//	err := lifecycle.Run(ctx, store.Run, server.Run, http.Run)
package lifecycle

import (
	"context"
	"errors"
)

// Part runs until ctx ends. It returns nil when ctx ended it.
type Part func(ctx context.Context) error

// Run runs all parts until ctx ends or one of them returns. Then it stops them one after
// the other, the last one first, waits for each, and returns what they returned, joined.
// A part that returns nil before it was told to stop ends the others without an error.
func Run(ctx context.Context, parts ...Part) error {
	type running struct {
		cancel context.CancelFunc
		done   chan error
	}
	started := make([]running, len(parts))
	ended := make(chan struct{}, len(parts))
	for i, part := range parts {
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		started[i] = running{cancel: cancel, done: done}
		go func() {
			done <- call(partCtx, part)
			ended <- struct{}{}
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	var errs []error
	for i := len(started) - 1; i >= 0; i-- {
		started[i].cancel()
		if err := <-started[i].done; err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// call runs a part and drops the error that only says that its context ended.
func call(ctx context.Context, part Part) error {
	err := part(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	return nil
}
