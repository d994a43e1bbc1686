package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// advice says what can be done about the first task that has failed; nothing if nobody knows.
func (v *view) advice() string {
	for _, a := range v.allocs {
		if a.JobVersion != v.version || v.settled[a.ID] {
			continue
		}
		for _, name := range taskNames(a.TaskStates) {
			for _, e := range slices.Backward(a.TaskStates[name].Events) {
				if next := remedy(e, name); next != "" {
					return next
				}
			}
		}
	}
	return ""
}

// remedy says what can be done about what an event tells.
func remedy(e *nomadish.TaskEvent, task string) string {
	text := strings.ToLower(message(e) + " " + e.Details["exit_message"])
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case outOfMemory(e):
		return fmt.Sprintf("Task %q needs more memory than it may have: raise memory in its resources block, or memory_max for a peak.", task)
	case !tellsFailure(e):
		return ""
	case has("connection refused", "no such host", "i/o timeout", "tls:", "x509:") && has("image", "pull", "registry"):
		return "The node can't reach the registry of the image: see to its network, its mirrors or its certificates."
	case has("unauthorized", "denied", "401", "403") && has("image", "pull", "registry"):
		return fmt.Sprintf("The registry wants to know who asks: add an auth block to the config of task %q, or configure the node's docker plugin with auth.", task)
	case has("manifest unknown", "not found", "404") && has("image", "pull", "manifest", "registry"):
		return fmt.Sprintf("The image is not there: see to its name and tag in the config of task %q.", task)
	case has("address already in use"):
		return fmt.Sprintf("Task %q wants a port that is taken: let it listen on a port of the group's network block, ${NOMAD_PORT_label}.", task)
	case e.ExitCode == 127 || has("executable file not found", "no such file or directory"):
		return fmt.Sprintf("The command of task %q is not there: it has to be in the image or on the node, by its path or in PATH.", task)
	case e.ExitCode == 126 || has("permission denied"):
		return fmt.Sprintf("The command of task %q may not be executed by the task's user.", task)
	case has("exec format error"):
		return fmt.Sprintf("The program of task %q is for another kind of processor than the node has.", task)
	}
	return ""
}
