package nomadish

import "time"

// JobPlanRequest asks what would happen if a job were registered.
type JobPlanRequest struct {
	Job            *Job
	Diff           bool // answer also how the job differs from the stored one
	PolicyOverride bool
	EvalPriority   int `json:",omitempty"` // default: the job's priority
	WriteRequest
}

// JobPlanResponse says what would happen. Nothing has.
type JobPlanResponse struct {
	JobModifyIndex     uint64                       // of the stored job, for JobRegisterRequest; 0: there is none
	CreatedEvals       []*Evaluation                // that would wait, for room or for their time
	Diff               *JobDiff                     // nil unless asked for
	Annotations        *PlanAnnotations             // what would become of each group's allocations
	FailedTGAllocs     map[string]*AllocationMetric // by group: why some of its allocations would find no node
	NextPeriodicLaunch time.Time                    // zero for jobs that the clock does not launch
	Warnings           string                       // in the format of Warnings.String
	// Where the new allocations would go, by their names, at most MaxPlannedPlacements of them,
	// and how many are left out. Nomad has nothing of the kind.
	Placements        []*PlannedPlacement
	PlacementsOmitted int `json:",omitempty"`
	// By group: how many allocations would find no node. FailedTGAllocs says why.
	Unplaced map[string]int `json:",omitempty"`
}

// MaxPlannedPlacements is how many placements a plan shows.
const MaxPlannedPlacements = 1000

// PlannedPlacement is where a new allocation would go. Its ID is chosen when it is placed.
type PlannedPlacement struct {
	Name      string // job.group[index]
	TaskGroup string
	NodeID    string
	NodeName  string
	Score     float64 // the node's; the best one is chosen
	// The allocation that it stands in for, and where that runs; empty for further ones.
	Replaces     string `json:",omitempty"`
	ReplacesNode string `json:",omitempty"`
}

// JobRevertRequest asks to make an earlier version of a job current again, as a new version.
type JobRevertRequest struct {
	JobID      string
	JobVersion uint64
	// EnforcePriorVersion is the version that must be current.
	EnforcePriorVersion *uint64 `json:",omitempty"`
	WriteRequest
}

// JobStabilityRequest says whether a version of a job has proved itself.
type JobStabilityRequest struct {
	JobID      string
	JobVersion uint64
	Stable     bool
	WriteRequest
}

// JobStabilityResponse answers a JobStabilityRequest.
type JobStabilityResponse struct {
	JobModifyIndex uint64 // of the change
	QueryMeta
}

// JobTagRequest names a version of a job, which is kept for good then.
type JobTagRequest struct {
	Version     uint64
	Latest      bool // the current version, whatever its number
	Description string
	WriteRequest
}

// JobTagResponse answers a JobTagRequest.
type JobTagResponse struct {
	Name        string
	Description string
	TaggedTime  int64 // nanoseconds since 1970
	QueryMeta
}

// PeriodicForceRequest asks to launch a periodic job now.
type PeriodicForceRequest struct {
	JobID string
	WriteRequest
}

// PeriodicForceResponse answers a PeriodicForceRequest.
type PeriodicForceResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	QueryMeta
}
