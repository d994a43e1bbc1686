//go:build linux

package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/drivers"
)

// Usage reads what the group's processes use. Figures that the machine does not keep are 0.
func (g Group) Usage(now time.Time) (*drivers.Usage, error) {
	if !g.Exists() {
		return nil, ErrUnavailable
	}
	pids, err := g.Procs()
	if err != nil {
		return nil, err
	}
	u := &drivers.Usage{Time: now, PIDs: len(pids)}
	if g.Version() == 2 {
		return u, g.usageV2(u)
	}
	return u, g.usageV1(u)
}

func (g Group) usageV1(u *drivers.Usage) error {
	r := reader{g: g}
	u.CPUNanos = r.number("cpuacct", "cpuacct.usage")
	stat := r.table("cpuacct", "cpuacct.stat")
	const tick = uint64(time.Second / 100) // USER_HZ is 100 on every Linux that Go runs on
	u.UserNanos, u.SystemNanos = stat["user"]*tick, stat["system"]*tick
	cpu := r.table("cpu", "cpu.stat")
	u.ThrottledPeriods, u.ThrottledNanos = cpu["nr_throttled"], cpu["throttled_time"]
	mem := r.table("memory", "memory.stat")
	u.RSS, u.Cache, u.Swap = mem["total_rss"], mem["total_cache"], mem["total_swap"]
	u.MemoryUsage = r.number("memory", "memory.usage_in_bytes")
	u.MemoryPeak = r.number("memory", "memory.max_usage_in_bytes")
	u.MemoryKernel = r.number("memory", "memory.kmem.usage_in_bytes")
	u.MemoryKernelPeak = r.number("memory", "memory.kmem.max_usage_in_bytes")
	return r.err
}

func (g Group) usageV2(u *drivers.Usage) error {
	r := reader{g: g}
	cpu := r.table("", "cpu.stat")
	const micro = uint64(time.Microsecond)
	u.CPUNanos, u.UserNanos, u.SystemNanos = cpu["usage_usec"]*micro, cpu["user_usec"]*micro, cpu["system_usec"]*micro
	u.ThrottledPeriods, u.ThrottledNanos = cpu["nr_throttled"], cpu["throttled_usec"]*micro
	mem := r.table("", "memory.stat")
	u.RSS, u.Cache = mem["anon"], mem["file"]
	u.MemoryKernel = mem["kernel"]
	u.MemoryUsage = r.number("", "memory.current")
	u.MemoryPeak = r.number("", "memory.peak")
	u.Swap = r.number("", "memory.swap.current")
	return r.err
}

// OOMKills counts the processes of the group that the kernel killed for want of memory.
func (g Group) OOMKills() (uint64, error) {
	r := reader{g: g}
	var n uint64
	if g.Version() == 2 {
		n = r.table("", "memory.events")["oom_kill"]
	} else {
		n = r.table("memory", "memory.oom_control")["oom_kill"]
	}
	return n, r.err
}

// reader reads a group's files and keeps the first error. A file that is not there reads as empty.
type reader struct {
	g   Group
	err error
}

func (r *reader) text(controller, file string) string {
	d, mounted := r.g.dir(controller)
	if !mounted {
		return ""
	}
	data, err := os.ReadFile(filepath.Join(d, file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && r.err == nil {
		r.err = err
	}
	return strings.TrimSpace(string(data))
}

func (r *reader) number(controller, file string) uint64 {
	return r.parse(r.text(controller, file))
}

func (r *reader) parse(s string) uint64 {
	if s == "" || s == "max" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

// table reads lines of a name and a number.
func (r *reader) table(controller, file string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(r.text(controller, file)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[name] = r.parse(value)
		}
	}
	return out
}
