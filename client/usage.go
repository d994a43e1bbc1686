package client

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/nomadish"
)

// AllocStats returns what an allocation uses, or one of its tasks if task is not empty.
func (c *Client) AllocStats(ctx context.Context, allocID, task string) (*nomadish.AllocResourceUsage, error) {
	tasks, err := c.tasks(allocID, task)
	if err != nil {
		return nil, err
	}
	out := &nomadish.AllocResourceUsage{
		Tasks:         map[string]*nomadish.TaskResourceUsage{},
		Timestamp:     c.cfg.Now().UnixNano(),
		ResourceUsage: &nomadish.ResourceUsage{MemoryStats: &nomadish.MemoryStats{}, CpuStats: &nomadish.CpuStats{}, DeviceStats: []*nomadish.DeviceGroupStats{}},
	}
	for _, t := range tasks {
		usage, err := t.Usage(ctx)
		if err != nil || usage == nil {
			continue // it does not run now, or its driver can't tell
		}
		out.Tasks[t.Name()] = usage
		addUsage(out.ResourceUsage, usage.ResourceUsage)
	}
	return out, nil
}

func addUsage(sum, u *nomadish.ResourceUsage) {
	m, c := sum.MemoryStats, sum.CpuStats
	m.RSS += u.MemoryStats.RSS
	m.Cache += u.MemoryStats.Cache
	m.Swap += u.MemoryStats.Swap
	m.Usage += u.MemoryStats.Usage
	m.MaxUsage += u.MemoryStats.MaxUsage
	m.KernelUsage += u.MemoryStats.KernelUsage
	m.KernelMaxUsage += u.MemoryStats.KernelMaxUsage
	m.Measured = u.MemoryStats.Measured
	c.Percent += u.CpuStats.Percent
	c.UserMode += u.CpuStats.UserMode
	c.SystemMode += u.CpuStats.SystemMode
	c.TotalTicks += u.CpuStats.TotalTicks
	c.ThrottledPeriods += u.CpuStats.ThrottledPeriods
	c.ThrottledTime += u.CpuStats.ThrottledTime
	c.Measured = u.CpuStats.Measured
}

// HostStats returns what the machine uses. CPU is the mean since the call before.
func (c *Client) HostStats(context.Context) (*nomadish.HostStats, error) {
	out := &nomadish.HostStats{
		Timestamp: c.cfg.Now().UnixNano(), Memory: hostMemory(),
		CPU: []*nomadish.HostCPUStats{}, DiskStats: []*nomadish.HostDiskStats{}, DeviceStats: []*nomadish.DeviceGroupStats{},
	}
	now := readCPUTimes()
	c.mu.Lock()
	before := c.cpuTimes
	c.cpuTimes = now
	c.mu.Unlock()
	total := 0.0
	for i, t := range now {
		since := cpuTime{}
		if i < len(before) && before[i].name == t.name {
			since = before[i]
		}
		stats := t.since(since)
		total += stats.TotalPercent
		out.CPU = append(out.CPU, stats)
	}
	if r := c.Node().NodeResources; r != nil && len(now) > 0 {
		out.CPUTicksConsumed = total / 100 * float64(r.Cpu.CpuShares) / float64(len(now))
	}
	if d, err := fingerprint.DiskOf(c.allocDir()); err == nil {
		out.AllocDirStats = diskStats(d)
		out.DiskStats = append(out.DiskStats, diskStats(d))
	}
	out.Uptime = uptime()
	return out, nil
}

func diskStats(d fingerprint.Disk) *nomadish.HostDiskStats {
	s := &nomadish.HostDiskStats{
		Device: d.Device, Mountpoint: d.Mount, Size: d.Total, Available: d.Free, Used: d.Total - min(d.Free, d.Total),
	}
	if d.Total > 0 {
		s.UsedPercent = 100 * float64(s.Used) / float64(d.Total)
	}
	if d.Inodes > 0 {
		s.InodesUsedPercent = 100 * float64(d.Inodes-min(d.Unused, d.Inodes)) / float64(d.Inodes)
	}
	return s
}

// cpuTime is the time that a core spent, in ticks.
type cpuTime struct {
	name                      string
	user, system, idle, total float64
}

func (t cpuTime) since(before cpuTime) *nomadish.HostCPUStats {
	s := &nomadish.HostCPUStats{CPU: t.name}
	span := t.total - before.total
	if span <= 0 {
		return s
	}
	s.User = 100 * (t.user - before.user) / span
	s.System = 100 * (t.system - before.system) / span
	s.Idle = 100 * (t.idle - before.idle) / span
	s.TotalPercent = 100 - s.Idle
	return s
}

// readCPUTimes reads the times of all cores; none where the system does not tell them.
func readCPUTimes() []cpuTime {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil
	}
	var out []cpuTime
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		t := cpuTime{name: f[0]}
		for i, s := range f[1:min(len(f), 9)] { // the fields behind are parts of these
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				continue
			}
			t.total += v
			switch i {
			case 0, 1:
				t.user += v
			case 3, 4:
				t.idle += v
			default:
				t.system += v
			}
		}
		out = append(out, t)
	}
	return out
}

func hostMemory() *nomadish.HostMemoryStats {
	out := &nomadish.HostMemoryStats{}
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			out.Total = kib << 10
		case "MemFree:":
			out.Free = kib << 10
		case "MemAvailable:":
			out.Available = kib << 10
		}
	}
	out.Used = out.Total - min(out.Available, out.Total)
	return out
}

func uptime() uint64 {
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return uint64(seconds)
}
