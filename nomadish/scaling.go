package nomadish

// MaxScalingEvents is how many of its newest scaling events a group keeps.
const MaxScalingEvents = 20

// ScalingEvent is something that was done, or tried, to scale a group.
type ScalingEvent struct {
	Count         *int64 // that the group got; nil: the event is only a note
	PreviousCount int64
	Error         bool
	Message       string
	Meta          map[string]any
	EvalID        *string // of the evaluation that the change made
	Time          int64   // nanoseconds since 1970
	CreateIndex   uint64
}

// JobScalingEvents are the scaling events of a job's groups, newest first.
type JobScalingEvents struct {
	Namespace   string
	JobID       string
	Groups      map[string][]*ScalingEvent
	ModifyIndex uint64
}

// ScalingRequest asks to scale a group, or leaves a note where Count is nil. Target names the
// group under the key Group.
type ScalingRequest struct {
	Count          *int64
	Target         map[string]string
	Message        string
	Error          bool // the note tells of an error; there is no Count then
	Meta           map[string]any
	PolicyOverride bool
	JobModifyIndex uint64 // not 0: scale only if this is still the job's
	WriteRequest
}

// JobScaleStatus says how a job is scaled.
type JobScaleStatus struct {
	JobID          string
	Namespace      string
	JobCreateIndex uint64
	JobModifyIndex uint64
	JobStopped     bool
	TaskGroups     map[string]*TaskGroupScaleStatus
}

// TaskGroupScaleStatus says how a group is scaled. Allocations that have ended, or are told
// to, do not count.
type TaskGroupScaleStatus struct {
	Desired   int // allocations wanted
	Placed    int
	Running   int
	Healthy   int             // as deployments say
	Unhealthy int             // likewise
	Events    []*ScalingEvent // newest first
}

// ScalingPolicyStub is a scaling policy in a list.
type ScalingPolicyStub struct {
	ID          string
	Enabled     bool
	Type        string
	Target      map[string]string
	CreateIndex uint64
	ModifyIndex uint64
}

// Stub returns the policy as lists show it.
func (s *ScalingPolicy) Stub() *ScalingPolicyStub {
	return &ScalingPolicyStub{
		ID: s.ID, Enabled: Val(s.Enabled), Type: s.Type, Target: s.Target, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
	}
}
