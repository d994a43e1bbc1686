package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// follower watches a job after it was submitted, and tells what it sees.
type follower struct {
	*call
	client *api.Client
	out    io.Writer
	query  api.Query // region and namespace of the job
	jobID  string
	evalID string
	from   uint64 // index of the submission
	began  time.Time
	screen *screen             // of a terminal, with the live table; nil: lines alone
	goal   func(*view) verdict // what the job is to reach; default: its end state

	view
	first bool // the first view was taken
	index uint64
	told  map[string]string // by ID: what was last said of an evaluation or allocation
	since map[string]int64  // by allocation and task: time of the newest event told
	tails int               // logs shown so far
}

// Bounds of following.
const (
	lostContact = 30 * time.Second       // without an answer before it is given up
	pollLongest = 2 * time.Second        // between looks when nothing happens
	pollLive    = time.Second            // the same for a table that shows the time
	pollPause   = 100 * time.Millisecond // between looks in any case
	maxTails    = 3                      // failing tasks whose logs are shown
	tailLines   = 10
	// Allocations whose addresses are shown at the end.
	maxAddresses = 5
)

// say tells something that happened.
func (f *follower) say(format string, args ...any) {
	elapsed := f.Now().Sub(f.began).Seconds()
	text := printable(fmt.Sprintf("%6.1fs  %s\n", elapsed, fmt.Sprintf(format, args...)))
	if f.screen != nil {
		f.screen.print(text, f.table())
		return
	}
	_, _ = io.WriteString(f.out, text) // without a reader the exit code is still right
}

// note tells something that the table shows anyway.
func (f *follower) note(format string, args ...any) {
	if f.screen == nil || f.remote.verbose {
		f.say(format, args...)
	}
}

// table is the live table as it looks now.
func (f *follower) table() []string {
	if !f.first {
		return nil
	}
	width, height := f.screen.size()
	now := f.Now()
	return f.board(now).lines(width, height, now.Sub(f.began), f.colored(f.out))
}

// live shows the table if the follower writes to a terminal that can.
func (f *follower) live() {
	file, ok := f.out.(*os.File)
	if name, _ := f.lookup("TERM"); ok && isTerminal(file) && name != "dumb" {
		f.screen = newScreen(file)
	}
}

// follow tells what happens to the job until it has reached its end state.
func (f *follower) follow(ctx context.Context, timeout time.Duration) (verdict, error) {
	f.told, f.since = map[string]string{}, map[string]int64{}
	if f.goal == nil {
		f.goal = (*view).judge
	}
	f.view.evalID = f.evalID
	f.settled, f.earlier = map[string]bool{}, map[string]uint64{}
	end, err := f.until(ctx, timeout)
	if f.screen != nil { // the table stays as it is; what follows goes below
		f.screen.draw(f.table())
		f.screen.leave()
		f.screen = nil
	}
	if ctx.Err() != nil {
		end, err = verdict{outcome: outcomeDetached}, nil
	}
	if err != nil {
		return end, fmt.Errorf("follow job %q, which is stored: %w", f.jobID, err)
	}
	f.sayEnd(ctx, end)
	return end, nil
}

// until looks at the job again and again until a verdict holds.
func (f *follower) until(ctx context.Context, timeout time.Duration) (verdict, error) {
	var last verdict
	var lastSeen string
	lastChange, lastAnswer := f.began, f.Now()
	wait, silent := time.Duration(0), false
	for {
		err := f.look(ctx, wait)
		now := f.Now()
		if err != nil {
			if !passing(err) || now.Sub(lastAnswer) > lostContact {
				return last, err
			}
			if !silent {
				f.say("No answer from the server; trying again for %s: %s", lostContact, err)
			}
			silent = true
			if err := pause(ctx, pollPause*5); err != nil {
				return last, err
			}
			continue
		}
		lastAnswer, silent = now, false
		f.report(ctx)
		if f.screen != nil {
			f.screen.draw(f.table())
		}
		next := f.goal(&f.view)
		if seen := f.fingerprint(); next != last || seen != lastSeen {
			last, lastSeen, lastChange = next, seen, now
		}
		held := now.Sub(lastChange)
		if next.outcome != underWay && held >= next.hold {
			return next, nil
		}
		limit := f.patience(timeout)
		if over := now.Sub(f.began); limit > 0 && over > limit {
			return f.overdue(limit), nil
		}
		wait = pollLongest
		if f.screen != nil {
			wait = pollLive
		}
		if next.outcome != underWay {
			wait = min(wait, max(next.hold-held, pollPause))
		}
		if err := pause(ctx, pollPause); err != nil {
			return last, err
		}
	}
}

// patience is how long the job is followed; 0: as long as it takes.
func (f *follower) patience(asked time.Duration) time.Duration {
	if asked > 0 || f.job == nil {
		return asked
	}
	switch nomadish.Val(f.job.Type) {
	case nomadish.JobTypeBatch, nomadish.JobTypeSysBatch:
		return 0
	}
	longest := time.Duration(0)
	for _, g := range f.job.TaskGroups {
		if g.Update != nil {
			longest = max(longest, nomadish.Val(g.Update.ProgressDeadline))
		}
	}
	return cmp.Or(longest, 10*time.Minute)
}

// passing says that an error may be over soon: no answer, one that was cut off, or one that
// says so.
func passing(err error) bool {
	var answer *api.Error
	if !errors.As(err, &answer) {
		return true
	}
	return nomadish.KindOf(err) == nomadish.KindNoLeader || nomadish.KindOf(err) == nomadish.KindLimited || answer.StatusCode >= 500
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// look takes a view of the job. Its allocations come last, so that they are never older than
// what is said of the job; for a change of them it waits a while.
func (f *follower) look(ctx context.Context, wait time.Duration) error {
	if e := f.evaluation(f.evalID); !f.first || f.evalID != "" && (e == nil || !e.Terminal()) {
		return f.take(ctx, 0, min(wait, pollPause))
	}
	return f.take(ctx, f.index, wait)
}

func (f *follower) take(ctx context.Context, index uint64, wait time.Duration) error {
	if index > 0 { // only to learn that something has changed
		q := f.query
		q.MinIndex, q.Wait = index, max(wait, pollPause)
		if _, _, err := f.client.Jobs().Allocations(ctx, f.jobID, false, &q); err != nil {
			return err
		}
	}
	q := f.query
	job, _, err := f.client.Jobs().Job(ctx, f.jobID, &q)
	if errors.Is(err, nomadish.ErrNotFound) {
		f.job = nil
		return nil
	}
	if err != nil {
		return err
	}
	evals, _, err := f.client.Jobs().Evaluations(ctx, f.jobID, &q)
	if err != nil {
		return err
	}
	allocs, meta, err := f.client.Jobs().Allocations(ctx, f.jobID, false, &q)
	if err != nil {
		return err
	}
	f.job, f.evals, f.allocs, f.index = job, evals, allocs, meta.Index
	if !f.first {
		f.begin()
	}
	return nil
}

// begin notes what was there before the submission.
func (f *follower) begin() {
	f.first = true
	f.version = nomadish.Val(f.job.Version)
	for _, a := range f.allocs {
		if a.CreateIndex >= f.from {
			continue
		}
		f.settled[a.ID] = ended(a)
		f.told[a.ID] = state(a)
		for name, t := range a.TaskStates {
			f.earlier[a.ID+"/"+name] = t.Restarts
			if n := len(t.Events); n > 0 {
				f.since[a.ID+"/"+name] = t.Events[n-1].Time
			}
		}
	}
}

// fingerprint changes whenever something of the view does that matters for its end.
func (f *follower) fingerprint() string {
	var b strings.Builder
	for _, e := range f.evals {
		fmt.Fprint(&b, e.ID, e.Status, " ")
	}
	for _, a := range f.allocs {
		fmt.Fprint(&b, a.ID, state(a), isUp(a), " ")
		for _, name := range taskNames(a.TaskStates) {
			fmt.Fprint(&b, a.TaskStates[name].State, a.TaskStates[name].Restarts, " ")
		}
	}
	return b.String()
}

// state is what is wanted of an allocation and what it does, as far as both differ.
func state(a *nomadish.AllocationListStub) string {
	if a.DesiredStatus != nomadish.AllocDesiredRun && !ended(a) {
		return a.ClientStatus + ", to stop"
	}
	return a.ClientStatus
}
