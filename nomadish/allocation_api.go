package nomadish

// AllocationListStub is an allocation in a list.
type AllocationListStub struct {
	ID                    string
	EvalID                string
	Name                  string
	Namespace             string
	NodeID                string
	NodeName              string
	JobID                 string
	JobType               string
	JobVersion            uint64
	TaskGroup             string
	AllocatedResources    *AllocatedResources `json:",omitempty"` // only if the list asks for it
	DesiredStatus         string
	DesiredDescription    string
	DesiredTransition     DesiredTransition
	ClientStatus          string
	ClientDescription     string
	TaskStates            map[string]*TaskState // null if the list asks for none
	DeploymentStatus      *AllocDeploymentStatus
	FollowupEvalID        string
	NextAllocation        string
	RescheduleTracker     *RescheduleTracker
	PreemptedAllocations  []string
	PreemptedByAllocation string
	CreateIndex           uint64
	ModifyIndex           uint64
	CreateTime            int64 // nanoseconds since 1970
	ModifyTime            int64 // nanoseconds since 1970
}

// AllocStubOptions say what lists of allocations show besides the usual.
type AllocStubOptions struct {
	Resources    bool // with AllocatedResources
	NoTaskStates bool // without TaskStates
}

// Stub returns the allocation as lists show it. The job's type is not stored with the
// allocation, so the caller says it.
func (a *Allocation) Stub(jobType string, opts AllocStubOptions) *AllocationListStub {
	stub := &AllocationListStub{
		ID:                    a.ID,
		EvalID:                a.EvalID,
		Name:                  a.Name,
		Namespace:             a.Namespace,
		NodeID:                a.NodeID,
		NodeName:              a.NodeName,
		JobID:                 a.JobID,
		JobType:               jobType,
		JobVersion:            a.JobVersion,
		TaskGroup:             a.TaskGroup,
		DesiredStatus:         a.DesiredStatus,
		DesiredDescription:    a.DesiredDescription,
		DesiredTransition:     a.DesiredTransition,
		ClientStatus:          a.ClientStatus,
		ClientDescription:     a.ClientDescription,
		DeploymentStatus:      a.DeploymentStatus,
		FollowupEvalID:        a.FollowupEvalID,
		NextAllocation:        a.NextAllocation,
		RescheduleTracker:     a.RescheduleTracker,
		PreemptedAllocations:  a.PreemptedAllocations,
		PreemptedByAllocation: a.PreemptedByAllocation,
		CreateIndex:           a.CreateIndex,
		ModifyIndex:           a.ModifyIndex,
		CreateTime:            a.CreateTime,
		ModifyTime:            a.ModifyTime,
	}
	if opts.Resources {
		stub.AllocatedResources = a.AllocatedResources
	}
	if !opts.NoTaskStates {
		stub.TaskStates = a.TaskStates
	}
	return stub
}

// AllocStopRequest asks to stop an allocation and to place another in its stead.
type AllocStopRequest struct {
	AllocID         string
	Reschedule      bool // where the reschedule policy would place it, not on the same node
	NoShutdownDelay bool // ignore the shutdown_delay of its group and tasks
}

// AllocStopResponse says which evaluation replaces the stopped allocation.
type AllocStopResponse struct {
	EvalID string
	Index  uint64
}
