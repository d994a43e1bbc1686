package task

import (
	"context"
	"errors"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/drivers"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// removeTries is how often the driver is asked to free an ended task before the runner
// leaves that to the driver's own reaping.
const removeTries = 5

// launch prepares the task and starts it under the number in its record. After a crash it
// is done again under the same number, and the driver knows whether it did it before.
func (r *Runner) launch(ctx context.Context) Input {
	r.recovered = false
	if r.cfg.Driver == nil {
		return SetupFailed{Err: &InvalidError{Err: r.errNoDriver()}}
	}
	r.setup = r.newSetup(r.Record().Attempt)
	if err := r.cfg.Hooks.Prepare(ctx, r.setup); err != nil {
		if r.interrupted(ctx) {
			return nil
		}
		return SetupFailed{Err: err}
	}
	r.keepNetwork()
	handle, err := r.cfg.Driver.Start(ctx, r.setup.Spec)
	if err != nil {
		if r.interrupted(ctx) {
			return nil
		}
		return StartFailed{Err: err}
	}
	r.recovered = true
	return Started{Handle: handle}
}

// keepNetwork lets others see the network that the hooks gave the newest start.
func (r *Runner) keepNetwork() {
	r.mu.Lock()
	r.network = r.setup.Spec.Network
	r.mu.Unlock()
}

// interrupted says that the agent ends, and not that the task is to be killed: then the
// task's record stays as it is and the next agent goes on.
func (r *Runner) interrupted(ctx context.Context) bool {
	return ctx.Err() != nil && r.Record().Kill == nil
}

// await waits for the task's end, and lets hooks attend to it meanwhile.
func (r *Runner) await(ctx context.Context) Input {
	handle := r.Record().Handle
	if err := r.reattach(ctx, handle); err != nil {
		return r.lost(ctx, err)
	}
	attendance, end := context.WithCancel(ctx)
	attended := make(chan struct{})
	go func() {
		defer close(attended)
		r.cfg.Hooks.Attend(attendance, r.setup)
	}()
	defer func() {
		end()
		<-attended
	}()
	return r.wait(ctx, handle)
}

// wait returns the task's end once the driver knows it.
func (r *Runner) wait(ctx context.Context, handle *drivers.Handle) Input {
	var exit drivers.Exit
	var gone error
	err := r.persist(ctx, "wait for the task", func() (err error) {
		exit, err = r.cfg.Driver.Wait(ctx, handle)
		if errors.Is(err, drivers.ErrTaskLost) {
			gone, err = err, nil
		}
		return err
	})
	switch {
	case err != nil:
		return nil
	case gone != nil:
		return r.lost(ctx, gone)
	}
	return r.ended(ctx, exit)
}

// reattach makes the driver know the task again, once per agent.
func (r *Runner) reattach(ctx context.Context, handle *drivers.Handle) error {
	if r.recovered {
		return nil
	}
	if r.cfg.Driver == nil {
		return errors.Join(drivers.ErrTaskLost, r.errNoDriver())
	}
	r.setup = r.newSetup(r.Record().Attempt)
	if err := r.cfg.Hooks.Restore(ctx, r.setup); err != nil {
		r.log.Warn("restore a task", "err", err)
	}
	r.keepNetwork()
	var gone error
	err := r.persist(ctx, "recover the task", func() error {
		err := r.cfg.Driver.Recover(ctx, handle)
		if errors.Is(err, drivers.ErrTaskLost) {
			gone, err = err, nil
		}
		return err
	})
	if err = errors.Join(err, gone); err != nil {
		return err
	}
	r.recovered = true
	return nil
}

// lost is the end of a task whose end nobody saw.
func (r *Runner) lost(ctx context.Context, err error) Input {
	if !errors.Is(err, drivers.ErrTaskLost) {
		return nil // ctx ended
	}
	return r.ended(ctx, drivers.Exit{Code: 137, Err: drivers.ErrTaskLost.Error(), Time: r.cfg.Now()})
}

// ended is a task's end. All of its output is in its logs then: see drivers.Driver.
func (r *Runner) ended(ctx context.Context, exit drivers.Exit) Input {
	if ctx.Err() != nil {
		return nil
	}
	return Ended{Exit: exit, Limit: r.memoryLimit()}
}

// memoryLimit is the number of bytes at which the task is killed, 0 where it has no limit.
func (r *Runner) memoryLimit() int64 {
	if r.cfg.Alloc.AllocatedResources == nil {
		return 0
	}
	granted := r.cfg.Alloc.AllocatedResources.Tasks[r.cfg.Task.Name]
	if granted == nil {
		return 0
	}
	return max(granted.Memory.MemoryMB, granted.Memory.MemoryMaxMB) << 20
}

// stop asks the driver to end the task, and waits for the end.
func (r *Runner) stop(ctx context.Context) Input {
	record := r.Record()
	if err := r.reattach(ctx, record.Handle); err != nil {
		return r.lost(ctx, err)
	}
	if exit := r.shutdownDelay(ctx, record); exit != nil || ctx.Err() != nil {
		return exit
	}
	err := r.persist(ctx, "stop the task", func() error {
		err := r.cfg.Driver.Stop(ctx, record.Handle, r.cfg.Task.KillSignal, r.policy.KillTimeout)
		if errors.Is(err, drivers.ErrTaskLost) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil
	}
	return r.wait(ctx, record.Handle)
}

// shutdownDelay lets the task serve those who still know its address. It ends early, with
// the task's end, when the task does.
func (r *Runner) shutdownDelay(ctx context.Context, record localstate.Task) Input {
	d := r.cfg.Task.ShutdownDelay
	if d <= 0 || record.Kill == nil || record.Kill.SkipDelay {
		return nil
	}
	waitCtx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	exit, err := r.cfg.Driver.Wait(waitCtx, record.Handle)
	if err != nil {
		if waitCtx.Err() == nil {
			_ = lifecycle.Sleep(waitCtx, d) // the driver can't tell now: keep to the delay
		}
		return nil
	}
	return r.ended(ctx, exit)
}

// delay frees the ended start and waits until it is time for the next.
func (r *Runner) delay(ctx context.Context) Input {
	record := r.Record()
	if record.Handle != nil {
		return r.remove(ctx)
	}
	rest := min(record.RestartAt.Sub(r.cfg.Now()), r.policy.longest())
	if lifecycle.Sleep(ctx, rest) != nil {
		return nil
	}
	return DelayOver{}
}

// remove lets the driver free what it made for the newest start.
func (r *Runner) remove(ctx context.Context) Input {
	handle := r.Record().Handle
	pause := 100 * time.Millisecond
	for try := 1; r.cfg.Driver != nil; try++ {
		err := r.cfg.Driver.Remove(ctx, handle)
		if err == nil || ctx.Err() != nil {
			break
		}
		r.log.Warn("free an ended task", "err", err, "try", try)
		if try == removeTries || lifecycle.Sleep(ctx, pause) != nil {
			break
		}
		pause *= 2
	}
	if ctx.Err() != nil {
		return nil
	}
	return Removed{}
}
