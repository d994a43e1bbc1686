package nomadish

type Resources struct {
	CPU         *int               `hcl:"cpu,optional"`
	Cores       *int               `hcl:"cores,optional"`
	MemoryMB    *int               `hcl:"memory,optional"`
	MemoryMaxMB *int               `hcl:"memory_max,optional"`
	DiskMB      *int               `hcl:"disk,optional"`
	Networks    []*NetworkResource `hcl:"network,block"`
	Devices     []*RequestedDevice `hcl:"device,block"`
	NUMA        *NUMAResource      `hcl:"numa,block"`
	SecretsMB   *int               `hcl:"secrets,optional"`
	IOPS        *int               `hcl:"iops,optional"`
}

// How a task's cores lie to the memory (NUMAResource.Affinity).
const (
	NUMAAffinityNone    = "none"
	NUMAAffinityPrefer  = "prefer"
	NUMAAffinityRequire = "require"
)

type NUMAResource struct {
	Affinity string   `hcl:"affinity,optional"`
	Devices  []string `hcl:"devices,optional"`
}

type RequestedDevice struct {
	Name        string        `hcl:",label"`
	Count       *uint64       `hcl:"count,optional"`
	Constraints []*Constraint `hcl:"constraint,block"`
	Affinities  []*Affinity   `hcl:"affinity,block"`
}

type NetworkResource struct {
	Mode          string     `hcl:"mode,optional" stored:"omitempty"`
	Device        string     `hcl:"device,optional" stored:"omitempty"`
	CIDR          string     `hcl:"cidr,optional" stored:"omitempty"`
	IP            string     `hcl:"ip,optional" stored:"omitempty"`
	DNS           *DNSConfig `hcl:"dns,block" stored:"omitempty"`
	ReservedPorts []Port     `hcl:"reserved_ports,block" stored:"omitempty"`
	DynamicPorts  []Port     `hcl:"port,block" stored:"omitempty"`
	Hostname      string     `hcl:"hostname,optional" stored:"omitempty"`
	MBits         *int       `hcl:"mbits,optional" stored:"omitempty"`
	CNI           *CNIConfig `hcl:"cni,block" stored:"omitempty"`
}

// HostNetworkDefault is the host network of ports that name none.
const HostNetworkDefault = "default"

type Port struct {
	Label           string `hcl:",label" stored:"omitempty"`
	Value           int    `hcl:"static,optional" stored:"omitempty"`
	To              int    `hcl:"to,optional" stored:"omitempty"`
	HostNetwork     string `hcl:"host_network,optional" stored:"omitempty"`
	IgnoreCollision bool   `hcl:"ignore_collision,optional" stored:"omitempty"`
}

type DNSConfig struct {
	Servers  []string `hcl:"servers,optional"`
	Searches []string `hcl:"searches,optional"`
	Options  []string `hcl:"options,optional"`
}

type CNIConfig struct {
	Args map[string]string `hcl:"args,optional"`
}
