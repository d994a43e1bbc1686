package client

import "github.com/nomadish/nomadish/nomadish"

// Reports returns what this node would say now of each of its allocations: ID, state and
// tasks, as the servers know it or soon will, with what the scheduler granted.
func (c *Client) Reports() []*nomadish.Allocation {
	entries := c.entries()
	out := make([]*nomadish.Allocation, 0, len(entries))
	for _, e := range entries {
		a := *e.runner.Alloc()
		said := e.runner.Report()
		a.ClientStatus, a.ClientDescription, a.TaskStates = said.ClientStatus, said.ClientDescription, said.TaskStates
		out = append(out, &a)
	}
	return out
}

// Emptied says that nothing runs on this node any more, and that the servers know; with ignoreSystem
// jobs that run on every node don't count.
func (c *Client) Emptied(ignoreSystem bool) bool {
	for _, e := range c.entries() {
		if job := e.runner.Alloc().Job; ignoreSystem && job != nil && nomadish.Val(job.Type) == nomadish.JobTypeSystem {
			continue
		}
		c.mu.Lock()
		done := e.ended && e.acked != nil && e.acked.ClientTerminal()
		c.mu.Unlock()
		if !done {
			return false
		}
	}
	return true
}
