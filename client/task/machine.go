package task

import (
	"context"
	"errors"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Input is something that happened to a task, or that is wanted of it.
type Input interface {
	// apply changes the record, which is the step's own copy.
	apply(s *step)
}

// The inputs.
type (
	// Begin says that it is the task's turn.
	Begin struct{}
	// SetupFailed says that a hook failed before the driver was asked.
	SetupFailed struct{ Err error }
	// StartFailed says that the driver did not start the task.
	StartFailed struct{ Err error }
	// Started says that the task runs.
	Started struct{ Handle *drivers.Handle }
	// Ended says how the task ended.
	Ended struct {
		Exit  drivers.Exit
		Limit int64 // bytes of memory at which the kernel kills it; 0: not known
	}
	// DelayOver says that it is time to start again.
	DelayOver struct{}
	// KillWanted says that the task shall end for good. Event, if any, says why.
	KillWanted struct {
		Event *nomadish.TaskEvent
		Kill  localstate.Kill
	}
	// RestartWanted says that the running task shall end and start again.
	RestartWanted struct{ Reason string }
	// RewindWanted says that the task shall wait for its turn again, and end before if it runs.
	RewindWanted struct{ Reason string }
	// Removed says that the driver has freed what it made for the newest start.
	Removed struct{}
	// Noted is an event that changes nothing.
	Noted struct{ Event *nomadish.TaskEvent }
	// Noticed is news of a start. It takes the place of the start's earlier event with the
	// same key.
	Noticed struct {
		Key   string
		Event *nomadish.TaskEvent
	}
)

// InvalidError is a hook's verdict that the task as it is written can't run.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// DownloadError is why an artifact could not be fetched.
type DownloadError struct{ Err error }

func (e *DownloadError) Error() string { return e.Err.Error() }
func (e *DownloadError) Unwrap() error { return e.Err }

// Moment is what a step takes from outside.
type Moment struct {
	Now    time.Time
	Jitter float64 // in [0, 1)
}

// NewRecord is the record of a task that was just received.
func NewRecord(now time.Time) localstate.Task {
	state := &nomadish.TaskState{State: nomadish.TaskStatePending}
	withEvent(state, ReceivedEvent(), now)
	return localstate.Task{Phase: localstate.PhaseWaiting, State: state}
}

// Step returns what an input makes of a task's record, which stays as it is. The record
// says what is to be done next: each phase has one activity.
func (p Policy) Step(record localstate.Task, in Input, at Moment) localstate.Task {
	state := *record.State
	record.State = &state
	in.apply(&step{Task: &record, policy: p, at: at})
	return record
}

// step is one step under way.
type step struct {
	*localstate.Task
	policy Policy
	at     Moment
}

func (s *step) note(e *nomadish.TaskEvent) { withEvent(s.State, e, s.at.Now) }

func (Begin) apply(s *step) {
	if s.Phase == localstate.PhaseWaiting {
		s.note(SetupEvent("Building Task Directory"))
		s.launch()
	}
}

// launch begins the next start. Its number is on disk before the driver hears of it.
func (s *step) launch() {
	s.Phase = localstate.PhaseLaunching
	s.Attempt++
	s.Handle = nil
	s.RestartAt = time.Time{}
}

func (in SetupFailed) apply(s *step) {
	if s.Phase != localstate.PhaseLaunching {
		return
	}
	if s.Kill != nil {
		s.killed()
		return
	}
	var invalid *InvalidError
	var download *DownloadError
	switch {
	case errors.As(in.Err, &invalid):
		s.note(validationEvent(in.Err))
	case errors.As(in.Err, &download):
		s.note(downloadFailureEvent(download))
	default:
		s.note(setupFailureEvent(in.Err))
	}
	s.notStarted(in.Err)
}

func (in StartFailed) apply(s *step) {
	if s.Phase != localstate.PhaseLaunching {
		return
	}
	if s.Kill != nil {
		s.killed()
		return
	}
	s.note(driverFailureEvent(in.Err))
	s.notStarted(in.Err)
}

// notStarted lets the restart policy decide when trying again may help.
func (s *step) notStarted(err error) {
	if drivers.IsRecoverable(err) || errors.Is(err, context.DeadlineExceeded) {
		s.judge(false)
		return
	}
	s.note(notRestartingEvent("Error was unrecoverable"))
	s.die(true)
}

func (in Started) apply(s *step) {
	if s.Phase != localstate.PhaseLaunching {
		return
	}
	s.Phase = localstate.PhaseRunning
	s.Handle = in.Handle
	s.State.State = nomadish.TaskStateRunning
	s.State.StartedAt = s.at.Now.UTC()
	s.note(startedEvent())
	if s.Kill != nil || s.Rewind {
		s.stop()
	}
}

// stop begins the end of a running task.
func (s *step) stop() {
	s.Phase = localstate.PhaseStopping
	reason := ""
	if s.Kill != nil {
		reason = s.Kill.Reason
	}
	s.note(killingEvent(reason, s.policy.KillTimeout))
}

func (in Ended) apply(s *step) {
	if s.Phase != localstate.PhaseRunning && s.Phase != localstate.PhaseStopping {
		return
	}
	s.note(terminatedEvent(in.Exit, in.Limit))
	switch {
	case s.Kill != nil:
		s.killed()
	case s.Restart || s.Rewind:
		s.Restart = false
		s.delay(verdict{reason: "Restart requested"})
	default:
		s.judge(in.Exit.Successful())
	}
}

func (s *step) judge(success bool) {
	v, window := s.policy.judge(s.Window, success, s.at.Now, s.at.Jitter)
	s.Window = window
	if v.restart {
		s.delay(v)
		return
	}
	if v.failed {
		s.note(notRestartingEvent(v.reason))
	}
	s.die(v.failed)
}

// delay waits for the next start; until then the driver frees the ended one.
func (s *step) delay(v verdict) {
	s.Phase = localstate.PhaseDelaying
	s.RestartAt = s.at.Now.Add(v.delay).UTC()
	s.State.State = nomadish.TaskStatePending
	s.State.Restarts++
	s.State.LastRestart = s.at.Now.UTC()
	s.note(restartingEvent(v.delay, v.reason))
}

func (DelayOver) apply(s *step) {
	switch {
	case s.Phase != localstate.PhaseDelaying:
	case s.Rewind:
		s.wait()
	default:
		s.launch()
	}
}

func (in KillWanted) apply(s *step) {
	if s.Phase == localstate.PhaseDead || s.Kill != nil {
		return
	}
	kill := in.Kill
	s.Kill = &kill
	if in.Event != nil {
		s.note(in.Event)
	}
	switch s.Phase {
	case localstate.PhaseWaiting, localstate.PhaseDelaying:
		s.killed()
	case localstate.PhaseRunning:
		s.stop()
	}
}

func (s *step) killed() {
	s.note(killedEvent())
	s.die(s.Kill.Fails)
}

func (s *step) die(failed bool) {
	s.Phase = localstate.PhaseDead
	s.Restart, s.Rewind = false, false
	s.State.State = nomadish.TaskStateDead
	s.State.Failed = failed
	s.State.FinishedAt = s.at.Now.UTC()
}

func (in RestartWanted) apply(s *step) {
	if s.Phase == localstate.PhaseRunning {
		s.Restart = true
		s.note(restartSignalEvent(in.Reason))
		s.stop()
	}
}

func (in RewindWanted) apply(s *step) {
	if s.Kill != nil || s.Rewind {
		return
	}
	switch s.Phase {
	case localstate.PhaseLaunching, localstate.PhaseStopping:
		s.Rewind = true
	case localstate.PhaseRunning:
		s.Rewind = true
		s.note(restartSignalEvent(in.Reason))
		s.stop()
	case localstate.PhaseDelaying:
		s.Rewind, s.RestartAt = true, s.at.Now.UTC()
		if s.Handle == nil {
			s.wait()
		}
	case localstate.PhaseDead:
		s.note(restartSignalEvent(in.Reason))
		s.State.Restarts++
		s.State.LastRestart = s.at.Now.UTC()
		s.wait()
	}
}

// wait makes the task one that has not had its turn yet.
func (s *step) wait() {
	s.Phase = localstate.PhaseWaiting
	s.Rewind = false
	s.RestartAt = time.Time{}
	s.Window = localstate.Window{}
	s.State.State = nomadish.TaskStatePending
	s.State.Failed = false
	s.State.StartedAt, s.State.FinishedAt = time.Time{}, time.Time{}
}

func (Removed) apply(s *step) {
	if s.Phase == localstate.PhaseDelaying || s.Phase == localstate.PhaseDead {
		s.Handle = nil
	}
}

func (in Noted) apply(s *step) { s.note(in.Event) }

func (in Noticed) apply(s *step) {
	if s.Phase == localstate.PhaseLaunching {
		withNotice(s.State, in.Key, in.Event, s.at.Now)
	}
}
