package fsm_test

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// A command goes through the log as an entry, and changes the state when it is applied.
func Example() {
	f := fsm.New(state.New(), fsm.Config{OnFatal: func(err error) { fmt.Println("stop:", err) }})
	entry, err := fsm.Encode(&fsm.RegisterJob{Job: &nomadish.Job{
		Namespace: nomadish.Ptr("default"),
		ID:        nomadish.Ptr("web"),
	}}, "", time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	f.Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: entry})

	job, err := f.Store().Reader().Job(nil, "default", "web")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(*job.ID, *job.Status, *job.JobModifyIndex)
	// Output: web pending 1
}
