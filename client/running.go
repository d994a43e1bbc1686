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
