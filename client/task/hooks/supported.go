package hooks

import (
	"context"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/client/task"
)

// supported refuses a task that asks for something which this node can't do and without
// which the task would run with other data or less security than its job says.
type supported struct{}

func (supported) Name() string { return "validate" }

func (supported) Prepare(_ context.Context, s *task.Setup) error {
	var missing []string
	add := func(there bool, what string) {
		if there {
			missing = append(missing, what)
		}
	}
	t := s.Task
	add(len(t.Templates) > 0, "template")
	add(t.Vault != nil, "vault")
	add(len(t.Secrets) > 0, "secret")
	add(len(t.VolumeMounts) > 0, "volume_mount")
	add(t.CSIPluginConfig != nil, "csi_plugin")
	if t.Resources != nil {
		add(len(t.Resources.Devices) > 0, "device")
	}
	if len(missing) == 0 {
		return nil
	}
	return &task.InvalidError{Err: fmt.Errorf("this node does not support yet: %s", strings.Join(missing, ", "))}
}
