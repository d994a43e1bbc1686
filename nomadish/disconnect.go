package nomadish

import "time"

// LostAfter is how long allocations of the group are only unknown, and not lost, when their node
// is gone; 0: not at all.
func (g *TaskGroup) LostAfter() time.Duration {
	if g.Disconnect != nil {
		return Val(g.Disconnect.LostAfter)
	}
	return Val(g.MaxClientDisconnect)
}

// StopOnClientAfter is how long a node without servers goes on running the group, and the servers
// wait before they replace what ran there; 0: no end, and no wait.
func (g *TaskGroup) StopOnClientAfter() time.Duration {
	if g.Disconnect != nil {
		return Val(g.Disconnect.StopOnClientAfter)
	}
	return Val(g.StopAfterClientDisconnect)
}

// ReplacesLost says whether allocations of the group are replaced whose node is gone.
func (g *TaskGroup) ReplacesLost() bool {
	if g.Disconnect != nil && g.Disconnect.Replace != nil {
		return *g.Disconnect.Replace
	}
	return !Val(g.PreventRescheduleOnLost)
}

// ReconcileStrategy says which of two allocations stays when the node of the first is back.
func (g *TaskGroup) ReconcileStrategy() string {
	if g.Disconnect != nil && Val(g.Disconnect.Reconcile) != "" {
		return *g.Disconnect.Reconcile
	}
	return ReconcileBestScore
}
