package nomadish

// This file holds the bodies that the API's job routes take and give.

// WriteRequest are the fields that any request body may carry besides its own. The query
// string says the same and wins, but for a job's namespace.
type WriteRequest struct {
	Region    string     `json:",omitempty"`
	Namespace string     `json:",omitempty"`
	SecretID  SecretText `json:",omitempty"`
}

// QueryMeta is what some answers repeat of their headers.
type QueryMeta struct {
	Index       uint64
	KnownLeader bool
	LastContact int64 // nanoseconds
	NextToken   string
}

// JobRegisterRequest asks to store a job, as a new one or as the next version of one.
type JobRegisterRequest struct {
	Job               *Job
	Submission        *JobSubmission
	EnforceIndex      bool   `json:",omitempty"` // store only if the job's JobModifyIndex is still the one below; 0: only if it is new
	JobModifyIndex    uint64 `json:",omitempty"`
	PolicyOverride    bool   `json:",omitempty"`
	PreserveCounts    bool   `json:",omitempty"` // keep the group counts of the stored version
	PreserveResources bool   `json:",omitempty"` // keep the task resources of the stored version
	EvalPriority      int    `json:",omitempty"` // default: the job's priority
	WriteRequest
}

// JobRegisterResponse says what became of a JobRegisterRequest. EvalID is empty for a periodic
// or parameterized job, which places nothing itself.
type JobRegisterResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	Warnings        string // in the format of Warnings.String
	QueryMeta
}

// JobSubmission is the text that a job was made of.
type JobSubmission struct {
	Source        string
	Format        string // hcl2 or json
	VariableFlags map[string]string
	Variables     string
	// JobIndex is the JobModifyIndex of the version made of this text; the server sets it.
	JobIndex uint64 `json:",omitempty"`
}

// JobDeregisterResponse says what became of stopping a job.
type JobDeregisterResponse struct {
	EvalID          string
	EvalCreateIndex uint64
	JobModifyIndex  uint64
	VolumeEvalID    string
	VolumeEvalIndex uint64
	QueryMeta
}

// JobEvaluateRequest asks for a new evaluation of a job.
type JobEvaluateRequest struct {
	JobID       string
	EvalOptions EvalOptions
	WriteRequest
}

// EvalOptions are options of a forced evaluation.
type EvalOptions struct {
	ForceReschedule bool // replace failed allocations also where their reschedule policy is used up
}

// JobValidateRequest asks whether a job would be accepted.
type JobValidateRequest struct {
	Job *Job
	WriteRequest
}

// JobValidateResponse answers a JobValidateRequest.
type JobValidateResponse struct {
	DriverConfigValidated bool
	ValidationErrors      []string
	Error                 string // all of ValidationErrors in one text
	Warnings              string // in the format of Warnings.String
}

// JobsParseRequest asks to make a job of the text of a job file.
type JobsParseRequest struct {
	JobHCL       string
	Variables    string // the text of a file of variables
	Canonicalize bool   // fill in the defaults too
}

// JobVersionsResponse lists a job's versions, newest first.
type JobVersionsResponse struct {
	Versions []*Job
	Diffs    []*JobDiff // when asked for: how each version differs from the one before it, or from a given one
	QueryMeta
}

// JobListStub is a job in a list.
type JobListStub struct {
	ID                string
	ParentID          string
	Name              string
	Namespace         string `json:",omitempty"`
	Datacenters       []string
	NodePool          string
	Multiregion       *Multiregion
	Type              string
	Priority          int
	Periodic          bool
	ParameterizedJob  bool
	Stop              bool
	Status            string
	StatusDescription string
	Stable            bool
	Version           uint64
	JobSummary        *JobSummary
	CreateIndex       uint64
	ModifyIndex       uint64
	JobModifyIndex    uint64
	SubmitTime        int64             // nanoseconds since 1970
	Meta              map[string]string `json:",omitempty"` // only if the list asks for it
}

// Stub returns the job as lists show it. The summary may be nil.
func (j *Job) Stub(summary *JobSummary, meta bool) *JobListStub {
	stub := &JobListStub{
		ID:                Val(j.ID),
		ParentID:          Val(j.ParentID),
		Name:              Val(j.Name),
		Namespace:         Val(j.Namespace),
		Datacenters:       j.Datacenters,
		NodePool:          Val(j.NodePool),
		Multiregion:       j.Multiregion,
		Type:              Val(j.Type),
		Priority:          Val(j.Priority),
		Periodic:          j.Periodic != nil,
		ParameterizedJob:  j.ParameterizedJob != nil,
		Stop:              Val(j.Stop),
		Status:            Val(j.Status),
		StatusDescription: Val(j.StatusDescription),
		Stable:            Val(j.Stable),
		Version:           Val(j.Version),
		JobSummary:        summary,
		CreateIndex:       Val(j.CreateIndex),
		ModifyIndex:       Val(j.ModifyIndex),
		JobModifyIndex:    Val(j.JobModifyIndex),
		SubmitTime:        Val(j.SubmitTime),
	}
	if meta {
		stub.Meta = j.Meta
	}
	return stub
}

// JobDeregisterRequest asks to stop a job.
type JobDeregisterRequest struct {
	JobID           string
	Purge           bool // forget it too
	Global          bool // in all its regions
	EvalPriority    int  // default: the job's priority
	NoShutdownDelay bool // ignore the shutdown_delay of its groups and tasks
	WriteRequest
}
