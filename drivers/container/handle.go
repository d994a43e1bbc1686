//go:build linux

package container

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/drivers"
)

// Labels of containers.
const (
	labelTask      = "nomadish.dev/task" // the ID of the container's task
	labelAbandoned = "nomadish.dev/abandoned"
	labelCgroup    = "nomadish.dev/cgroup"
	labelSignal    = "nomadish.dev/stop-signal"
	labelAlloc     = "nomadish.dev/alloc"
	labelUsers     = "nomadish.dev/users" // the user of the host that its root is; none: root
)

// state is the runtime's part of a handle.
type state struct {
	Container  string `json:"container"`
	Cgroup     string `json:"cgroup"`
	StopSignal string `json:"stop_signal,omitempty"` // the plan's
}

func (st state) handle(driver, id string, pid int) (*drivers.Handle, error) {
	b, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	return &drivers.Handle{ID: id, Driver: driver, PID: pid, State: b}, nil
}

// stateOf reads a handle. One without state (the agent died before it was stored) still
// says which container it is.
func stateOf(h *drivers.Handle) (state, error) {
	s := state{Container: drivers.Key(h.ID)}
	if len(h.State) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(h.State, &s); err != nil {
		return s, fmt.Errorf("task %s: handle: %w", h.ID, err)
	}
	if s.Container != drivers.Key(h.ID) {
		return s, fmt.Errorf("task %s: handle is of container %s", h.ID, s.Container)
	}
	return s, nil
}

// shimOf names the shim that a container shares: its allocation's.
func shimOf(allocID, containerID string) string { return cmp.Or(allocID, containerID) }

// labels are the plan's, except for names with a meaning to containerd or us, and ours.
func (st state) labels(spec *drivers.TaskSpec, wanted map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range wanted {
		if !strings.HasPrefix(k, "containerd.io/") && !strings.HasPrefix(k, "io.containerd") &&
			!strings.HasPrefix(k, "nomadish.dev/") && len(k)+len(v) <= 4096 {
			out[k] = v
		}
	}
	out[labelTask] = spec.ID
	out[labelAlloc] = spec.AllocID
	out[labelCgroup] = st.Cgroup
	out[labelSignal] = st.StopSignal
	return out
}
