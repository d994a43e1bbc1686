package nomadish

// JobSummary counts a job's allocations by task group and state.
type JobSummary struct {
	JobID       string
	Namespace   string
	Summary     map[string]TaskGroupSummary
	Children    *JobChildrenSummary
	CreateIndex uint64
	ModifyIndex uint64
}

// TaskGroupSummary counts the allocations of one task group.
type TaskGroupSummary struct {
	Queued   int
	Complete int
	Failed   int
	Running  int
	Starting int
	Lost     int
	Unknown  int
}

// JobChildrenSummary counts the jobs that a periodic or parameterized job launched.
type JobChildrenSummary struct {
	Pending int64
	Running int64
	Dead    int64
}
