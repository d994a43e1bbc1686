package nomadish

// NewJob returns a job of one group, of the job's name, with the tasks. What it leaves out is
// filled in when it is admitted.
func NewJob(id, jobType string, tasks ...*Task) *Job {
	return &Job{
		ID: Ptr(id), Name: Ptr(id), Type: Ptr(jobType),
		TaskGroups: []*TaskGroup{{Name: Ptr(id), Tasks: tasks}},
	}
}
