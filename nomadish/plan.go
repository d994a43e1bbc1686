package nomadish

// Plan is what the scheduler decided for one evaluation. The planner checks it against
// the newest state and commits what still fits.
type Plan struct {
	EvalID          string
	EvalToken       string // of the broker: the worker still owns the evaluation
	Priority        int
	SnapshotIndex   uint64                   // state that the scheduler saw
	NodeUpdate      map[string][]*Allocation // by node: allocations to stop or evict, with their new status
	NodeAllocation  map[string][]*Allocation // by node: allocations to place or update in place
	NodePreemptions map[string][]*Allocation // by node: allocations to evict for those
	Deployment      *Deployment
	Annotations     *PlanAnnotations
	AllAtOnce       bool
}

// PlanResult is what of a plan was committed.
type PlanResult struct {
	NodeUpdate      map[string][]*Allocation
	NodeAllocation  map[string][]*Allocation
	NodePreemptions map[string][]*Allocation
	RejectedNodes   []string // whose part of the plan no longer fitted
	RefreshIndex    uint64   // nonzero: schedule again from a snapshot at or past this index
	AllocIndex      uint64   // at which it was committed
}
