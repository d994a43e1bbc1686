//go:build linux

package machine

import (
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Task is the name of the only task of the jobs that this package makes.
const Task = "main"

// Job returns a job of one small task that is neither restarted nor replaced when it fails.
func Job(id, jobType, driver string, config map[string]any) *nomadish.Job {
	job := nomadish.NewJob(id, jobType, &nomadish.Task{
		Name: Task, Driver: driver, Config: config,
		Resources:   &nomadish.Resources{CPU: nomadish.Ptr(500), MemoryMB: nomadish.Ptr(32)},
		KillTimeout: nomadish.Ptr(10 * time.Second),
		LogConfig:   &nomadish.LogConfig{MaxFiles: nomadish.Ptr(2), MaxFileSizeMB: nomadish.Ptr(4)},
	})
	group := job.TaskGroups[0]
	group.EphemeralDisk = &nomadish.EphemeralDisk{SizeMB: nomadish.Ptr(10)}
	group.RestartPolicy = &nomadish.RestartPolicy{
		Attempts: nomadish.Ptr(0), Mode: nomadish.Ptr("fail"), Interval: nomadish.Ptr(time.Minute), Delay: nomadish.Ptr(time.Second),
	}
	group.ReschedulePolicy = &nomadish.ReschedulePolicy{Attempts: nomadish.Ptr(0), Unlimited: nomadish.Ptr(false)}
	return job
}

// Shell returns a Job that runs a script with /bin/sh as a plain process.
func Shell(id, jobType, script string) *nomadish.Job {
	return Job(id, jobType, "raw_exec", Command("/bin/sh", "-c", script))
}

// Command is the config block that runs a program, for drivers with command and args.
func Command(program string, args ...string) map[string]any {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	return map[string]any{"command": program, "args": list}
}
