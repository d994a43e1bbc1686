//go:build linux

package rawexec

import (
	"errors"
	"sync"
)

// errKilled says that a command was killed together with its task.
var errKilled = errors.New("the task has ended")

// commands are those that run beside tasks. Who kills a task kills them with it, one process after
// the other, and one whose children go first may end as if nothing was wrong: so it is not the
// command's exit code that says what happened. The zero commands are ready.
type commands struct {
	mu      sync.Mutex
	running map[*command]bool // whether it was killed
}

type command struct{ task string }

// begin counts a command as running.
func (cs *commands) begin(task string) *command {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.running == nil {
		cs.running = map[*command]bool{}
	}
	c := &command{task: task}
	cs.running[c] = false
	return c
}

func (cs *commands) end(c *command) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.running, c)
}

// kill marks the commands of a task, before its processes are killed.
func (cs *commands) kill(task string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.running {
		if c.task == task {
			cs.running[c] = true
		}
	}
}

func (cs *commands) killed(c *command) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.running[c]
}
