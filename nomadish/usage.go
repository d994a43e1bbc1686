package nomadish

// HostStats is what a node uses now.
type HostStats struct {
	Memory           *HostMemoryStats
	CPU              []*HostCPUStats
	DiskStats        []*HostDiskStats
	AllocDirStats    *HostDiskStats
	DeviceStats      []*DeviceGroupStats
	Uptime           uint64 // seconds
	CPUTicksConsumed float64
	Timestamp        int64 // nanoseconds since 1970
}

// HostMemoryStats is a node's memory in bytes.
type HostMemoryStats struct{ Total, Available, Used, Free uint64 }

// HostCPUStats is one core's use in percent.
type HostCPUStats struct {
	CPU                              string
	TotalPercent, User, System, Idle float64
}

// HostDiskStats is a file system's use in bytes and percent.
type HostDiskStats struct {
	Device            string
	Mountpoint        string
	Size              uint64
	Used              uint64
	Available         uint64
	UsedPercent       float64
	InodesUsedPercent float64
}

// DeviceGroupStats is reserved for the use of devices.
type DeviceGroupStats struct{ Vendor, Type, Name string }

// MemoryStats is memory in bytes. Measured names the fields that are known.
type MemoryStats struct {
	RSS            uint64
	Cache          uint64
	Swap           uint64
	Usage          uint64
	MaxUsage       uint64
	KernelUsage    uint64
	KernelMaxUsage uint64
	Measured       []string
}

// CpuStats is CPU use in percent of one core; TotalTicks is in MHz. Measured names the
// fields that are known.
type CpuStats struct {
	SystemMode       float64
	UserMode         float64
	TotalTicks       float64
	ThrottledPeriods uint64
	ThrottledTime    uint64
	Percent          float64
	Measured         []string
}

// ResourceUsage is what a task or an allocation uses.
type ResourceUsage struct {
	MemoryStats *MemoryStats
	CpuStats    *CpuStats
	DeviceStats []*DeviceGroupStats
}

// TaskResourceUsage is what a task uses at a time.
type TaskResourceUsage struct {
	ResourceUsage *ResourceUsage
	Timestamp     int64                     // nanoseconds since 1970
	Pids          map[string]*ResourceUsage // by process, where the driver knows it
}

// AllocResourceUsage is what an allocation uses: the sum, and each task's.
type AllocResourceUsage struct {
	ResourceUsage *ResourceUsage
	Tasks         map[string]*TaskResourceUsage
	Timestamp     int64 // nanoseconds since 1970
}
