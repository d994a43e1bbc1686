package client

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/client/alloc"
	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

const (
	reapTimeout     = 10 * time.Second
	shutdownTimeout = 20 * time.Second // beyond the longest kill_timeout, for StopTasksOnShutdown
)

// restore takes over what an earlier agent left.
func (c *Client) restore() error {
	known, err := c.state.Allocs()
	if err != nil && len(known) == 0 {
		return err
	}
	if err != nil {
		c.log.Error("some allocations of an earlier agent can't be read", "err", err)
	}
	for _, k := range known {
		r, err := alloc.New(c.allocConfig(k.Alloc), c.state, k.Tasks)
		if err != nil {
			c.log.Error("restore an allocation", "alloc", k.Alloc.ID, "err", err)
			continue
		}
		c.mu.Lock()
		c.allocs[k.Alloc.ID] = &entry{runner: r}
		c.mu.Unlock()
	}
	return nil
}

func (c *Client) allocConfig(a *nomadish.Allocation) alloc.Config {
	return alloc.Config{
		Node: c.Node(), Alloc: a, Root: filepath.Join(c.allocDir(), a.ID), Drivers: c.cfg.Drivers, Hooks: c.hooks,
		Networks: c.groupNetworks(), Region: c.cfg.Region,
		MaxKillTimeout: c.cfg.MaxKillTimeout, Changed: func() { notify(c.report) },
		Jitter: c.cfg.Jitter, Now: c.cfg.Now, Logger: c.log,
	}
}

// reap lets the drivers remove what no record knows. It comes before the first start, so
// that nothing new is taken for something forgotten.
func (c *Client) reap(ctx context.Context) {
	keep := map[string]bool{}
	for id, e := range c.entries() {
		for name, t := range e.runner.Tasks() {
			record := t.Record()
			launching := record.Phase == localstate.PhaseLaunching
			if record.Handle != nil || launching {
				keep[task.TaskID(id, name, record.Attempt)] = true
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reapTimeout)
	defer cancel()
	c.reapNetworks(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	for name, d := range c.cfg.Drivers {
		if r, ok := d.(drivers.Reaper); ok {
			wg.Go(func() {
				if err := r.Reap(ctx, keep); err != nil {
					c.log.Warn("remove forgotten tasks", "driver", name, "err", err)
				}
			})
		}
	}
}

// entries returns a copy of the table of allocations.
func (c *Client) entries() map[string]*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]*entry, len(c.allocs))
	for id, e := range c.allocs {
		out[id] = e
	}
	return out
}

// runAllocs starts what is in the table and not started. When ctx ends the tasks go on,
// unless they are to stop with the client.
func (c *Client) runAllocs(ctx context.Context) error {
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	c.reap(ctx)
	for ctx.Err() == nil {
		for _, e := range c.unstarted() {
			wg.Go(func() { c.runAlloc(runCtx, e) })
		}
		select {
		case <-ctx.Done():
		case <-c.allocDirty:
		}
	}
	if c.cfg.StopTasksOnShutdown {
		c.stopAll(&wg)
	}
	return nil
}

func (c *Client) unstarted() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*entry
	for _, e := range c.allocs {
		if !e.started {
			e.started = true
			out = append(out, e)
		}
	}
	return out
}

func (c *Client) runAlloc(ctx context.Context, e *entry) {
	if err := e.runner.Run(ctx); err != nil {
		c.log.Error("run an allocation", "alloc", e.runner.ID(), "err", err)
	}
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	e.ended, e.endedAt = true, c.cfg.Now()
	c.mu.Unlock()
	notify(c.report)
	notify(c.garbage)
}

// stopAll ends all tasks and waits for their ends.
func (c *Client) stopAll(wg *sync.WaitGroup) {
	for _, e := range c.entries() {
		e.runner.Stop()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	timer := time.NewTimer(c.cfg.MaxKillTimeout + shutdownTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		c.log.Error("some tasks did not end with the client")
	}
}

// collectGarbage removes ended allocations: those that the servers no longer list, and the
// oldest of those whose end they have taken down, beyond the limit.
func (c *Client) collectGarbage(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.GCInterval)
	defer tick.Stop()
	for {
		c.collect(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-c.garbage:
		case <-tick.C:
		}
	}
}

func (c *Client) collect(ctx context.Context) {
	for _, e := range c.removable(c.cfg.GCMaxAllocs) {
		if err := c.remove(ctx, e); err != nil {
			c.log.Warn("remove an ended allocation", "alloc", e.runner.ID(), "err", err) // the next look tries again
		}
	}
}

// removable returns the ended allocations that may go when keep of them are kept.
func (c *Client) removable(keep int) []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out, ended []*entry
	for _, e := range c.allocs {
		switch {
		case !e.ended:
		case e.unwanted:
			out = append(out, e)
		case e.acked != nil && e.acked.ClientTerminal():
			ended = append(ended, e)
		}
	}
	slices.SortFunc(ended, func(a, b *entry) int {
		return cmp.Or(a.endedAt.Compare(b.endedAt), cmp.Compare(a.runner.ID(), b.runner.ID()))
	})
	return append(out, ended[:max(0, len(ended)-keep)]...)
}

func (c *Client) remove(ctx context.Context, e *entry) error {
	if err := e.runner.Destroy(ctx); err != nil {
		return err
	}
	if err := c.state.DeleteAlloc(e.runner.ID()); err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.allocs, e.runner.ID())
	c.mu.Unlock()
	return nil
}

// watchAllocs follows what the servers want of this node.
func (c *Client) watchAllocs(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.registered: // of a node that they don't know the servers list no allocations
	}
	known := &nomadish.NodeAllocations{} // the newest answer
	first := true
	pause := backoff{first: c.cfg.RetryInterval}
	for ctx.Err() == nil {
		next, err := c.ask(ctx, known)
		if err != nil {
			if c.relist() {
				known, first = &nomadish.NodeAllocations{}, true
				continue
			}
			if ctx.Err() != nil {
				break
			}
			c.log.Warn("ask for the node's allocations", "err", err)
			if pause.wait(ctx, c.cfg.Jitter()) != nil {
				break
			}
			continue
		}
		pause.reset()
		c.apply(next, first)
		first = false
		if next.Index == known.Index { // the wait was over without a change, or the server does not wait
			if lifecycle.Sleep(ctx, min(c.cfg.RetryInterval, time.Second)/10) != nil {
				break
			}
		}
		if next.Index < known.Index { // of a server that knows less: changes since then say too little
			next = &nomadish.NodeAllocations{}
		}
		known = next
	}
	return nil
}

// ask asks what has changed since an answer, until the servers turn out not to know the node.
func (c *Client) ask(ctx context.Context, known *nomadish.NodeAllocations) (*nomadish.NodeAllocations, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	if c.forgotten {
		cancel()
	}
	c.cancelAsk = cancel
	c.mu.Unlock()
	return c.server.Allocations(ctx, c.id, known.Index, known.Count)
}

// forget notes that the servers don't know the node: what they knew before counts no more.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten = true
	if c.cancelAsk != nil {
		c.cancelAsk()
	}
}

// relist says, once, that the servers did not know the node.
func (c *Client) relist() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.forgotten
	c.forgotten = false
	return was
}

// apply makes the table of allocations what the servers want it to be at an index. An
// answer may be older than the one before: it can't tell of the end of what is newer than
// it, unless it is the first one.
func (c *Client) apply(answer *nomadish.NodeAllocations, first bool) {
	jobs := map[*nomadish.Job]*nomadish.Job{}
	for _, a := range answer.Allocs {
		c.want(a, jobs)
	}
	entries := c.entries()
	for _, id := range answer.Ended {
		// What still runs here they have given up, as after a long silence of this node.
		if e := entries[id]; e != nil && !e.runner.Report().ClientTerminal() {
			e.runner.Stop()
		}
	}
	if listed := listing(answer); listed != nil {
		for id, e := range entries {
			gone := !listed[id] && (first || e.runner.Alloc().AllocModifyIndex <= answer.Index)
			c.mu.Lock()
			e.unwanted = gone || e.unwanted && !listed[id]
			c.mu.Unlock()
			if gone {
				e.runner.Stop()
			}
		}
	}
	notify(c.allocDirty)
	notify(c.garbage)
}

// listing returns the IDs of all allocations that the servers have of this node, or nil where
// the answer does not tell.
func listing(answer *nomadish.NodeAllocations) map[string]bool {
	if answer.Since > 0 && answer.Listed == nil {
		return nil
	}
	listed := make(map[string]bool, answer.Count)
	for _, id := range slices.Concat(answer.Listed, answer.Ended) {
		listed[id] = true
	}
	for _, a := range answer.Allocs {
		listed[a.ID] = true
	}
	return listed
}

// want takes over what the servers want of one allocation.
func (c *Client) want(a *nomadish.Allocation, jobs map[*nomadish.Job]*nomadish.Job) {
	c.mu.Lock()
	e := c.allocs[a.ID]
	c.mu.Unlock()
	if e != nil {
		known := e.runner.Alloc()
		if a.ClientStatus == nomadish.AllocClientUnknown { // the servers gave up what they knew of it
			c.mu.Lock()
			e.acked = nil
			e.recalls++
			c.mu.Unlock()
			notify(c.report)
		}
		changed := known.AllocModifyIndex != a.AllocModifyIndex || known.DesiredStatus != a.DesiredStatus
		if !changed || known.ServerTerminal() && !a.ServerTerminal() {
			return
		}
	}
	a, err := detached(a, jobs)
	switch {
	case err != nil:
		c.log.Error("take over an allocation", "err", err)
	case e == nil:
		c.add(a)
	default:
		e.runner.Update(a)
	}
}

// detached returns a copy of an allocation that can be kept without the whole answer that it
// came with. jobs are the copies that were made of the answer's jobs.
func detached(a *nomadish.Allocation, jobs map[*nomadish.Job]*nomadish.Job) (*nomadish.Allocation, error) {
	own, err := a.Detached()
	if err != nil || a.Job == nil {
		return own, err
	}
	if jobs[a.Job] == nil {
		if jobs[a.Job], err = a.Job.Detached(); err != nil {
			return nil, err
		}
	}
	own.Job = jobs[a.Job]
	return own, nil
}

// add takes over a new allocation. One that is not to run any more is only reported as ended.
func (c *Client) add(a *nomadish.Allocation) {
	if a.ServerTerminal() {
		c.refuse(a, nomadish.AllocClientComplete, "The allocation was stopped before it began")
		return
	}
	if _, err := nomadish.ParseID(a.ID); err != nil { // its ID becomes a directory's name
		c.refuse(a, nomadish.AllocClientFailed, err.Error())
		return
	}
	r, err := alloc.New(c.allocConfig(a), c.state, nil)
	if err != nil {
		c.refuse(a, nomadish.AllocClientFailed, err.Error())
		return
	}
	c.mu.Lock()
	c.allocs[a.ID] = &entry{runner: r}
	c.mu.Unlock()
}

func (c *Client) refuse(a *nomadish.Allocation, status, why string) {
	report := *a
	report.Job = nil
	report.ClientStatus, report.ClientDescription = status, why
	c.mu.Lock()
	if c.refused[a.ID] == nil {
		c.refused[a.ID] = &report
	}
	c.mu.Unlock()
	notify(c.report)
}
