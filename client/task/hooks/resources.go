package hooks

import (
	"context"
	"path"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
)

// resources tells the driver the task's limits, and makes the control group in which the
// driver keeps the task: agent/allocation/task.
type resources struct {
	cgroupParent string
	groups       groups
}

func (resources) Name() string { return "resources" }

func (h resources) Prepare(_ context.Context, s *task.Setup) error {
	h.fill(s)
	group := cgroupPath(h.cgroupParent, s)
	made, err := h.groups.create(group)
	if err != nil {
		return drivers.Recoverable(err)
	}
	if made {
		s.Spec.Cgroup = group
	}
	return nil
}

func (h resources) fill(s *task.Setup) {
	r := granted(s)
	if r == nil {
		return
	}
	s.Spec.Resources = drivers.Resources{
		CPUMHz:      r.Cpu.CpuShares,
		MemoryBytes: r.Memory.MemoryMB << 20,
		MemoryMax:   max(r.Memory.MemoryMaxMB, 0) << 20,
		Cores:       r.Cpu.ReservedCores,
	}
	if s.Node.NodeResources != nil {
		s.Spec.Resources.TotalMHz = s.Node.NodeResources.Cpu.CpuShares
	}
}

// Release removes the groups, with what may still run in the task's.
func (h resources) Release(ctx context.Context, s *task.Setup) error {
	group := cgroupPath(h.cgroupParent, s)
	return h.groups.remove(ctx, group, path.Dir(group))
}
