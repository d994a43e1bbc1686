package nomadish

import (
	"fmt"
	"time"
)

// PeriodicSeparator is between the ID of a periodic job and the time, in seconds since 1970,
// in the IDs of the jobs that it launches.
const PeriodicSeparator = "/periodic-"

// Launch returns the job that a periodic one launches at a time: an admitted job of its own
// that runs at once. A time has one such job, however often it is asked for.
func (j *Job) Launch(at time.Time) *Job {
	child := j.Copy()
	id := fmt.Sprintf("%s%s%d", Val(j.ID), PeriodicSeparator, at.Unix())
	child.ID, child.Name, child.ParentID = &id, &id, Ptr(Val(j.ID))
	child.Periodic = nil
	child.Stop, child.Stable, child.VersionTag = Ptr(false), Ptr(false), nil
	child.Status, child.StatusDescription = Ptr(""), Ptr("")
	child.Version, child.SubmitTime = nil, nil
	child.CreateIndex, child.ModifyIndex, child.JobModifyIndex = nil, nil, nil
	child.Admit()
	return child
}
