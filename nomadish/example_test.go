package nomadish_test

import (
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
)

// A job comes in as JSON, or from a job file by package jobspec. A server admits it, which
// fills in all defaults, and then says what is wrong with it.
func Example() {
	body := `{"ID": "web", "TaskGroups": [{"Name": "web", "Tasks": [
		{"Name": "server", "Driver": "docker", "Config": {"image": "nginx"}, "KillTimeout": "10s"}]}]}`
	var job nomadish.Job
	if err := nomadish.DecodeJSON([]byte(body), &job); err != nil {
		fmt.Println(err)
		return
	}
	job.Admit()
	task := job.TaskGroup("web").Task("server")
	fmt.Println(nomadish.Val(job.Type), nomadish.Val(task.KillTimeout), nomadish.Val(task.Resources.MemoryMB), "MiB")
	fmt.Println(job.Validate())

	*task.Resources.MemoryMB = 1
	fmt.Print(job.Validate())
	// Output:
	// service 10s 300 MiB
	// <nil>
	// 1 error occurred:
	// 	* Task group web validation failed: 1 error occurred:
	// 	* Task server validation failed: 1 error occurred:
	// 	* 1 error occurred:
	// 	* 1 error occurred:
	// 	* minimum MemoryMB value is 10; got 1
}
