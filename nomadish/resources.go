package nomadish

// Resources is what a task needs.
type Resources struct {
	// CPU in MHz, default 100; or whole cores of its own instead.
	CPU   *int `hcl:"cpu,optional"`
	Cores *int `hcl:"cores,optional"`
	// Memory in MiB: what is reserved (default 300), and the limit if that may be more; a limit
	// of -1 is none.
	MemoryMB    *int `hcl:"memory,optional"`
	MemoryMaxMB *int `hcl:"memory_max,optional"`
	// Refused: the group's EphemeralDisk has it.
	DiskMB *int `hcl:"disk,optional"`
	// Old job files have the network here; newer ones have it in the group.
	Networks []*NetworkResource `hcl:"network,block"`
	Devices  []*RequestedDevice `hcl:"device,block"`
	NUMA     *NUMAResource      `hcl:"numa,block"`
	// Size of the directory secrets in memory, MiB.
	SecretsMB *int `hcl:"secrets,optional"`
	// Without effect since long.
	IOPS *int `hcl:"iops,optional"`
}

// How a task's cores lie to the memory (NUMAResource.Affinity).
const (
	NUMAAffinityNone    = "none"
	NUMAAffinityPrefer  = "prefer"
	NUMAAffinityRequire = "require"
)

// NUMAResource says how a task's cores and devices should lie together.
type NUMAResource struct {
	Affinity string   `hcl:"affinity,optional"`
	Devices  []string `hcl:"devices,optional"`
}

// RequestedDevice asks for devices of a kind: type, vendor/type or vendor/type/name.
type RequestedDevice struct {
	Name        string        `hcl:",label" diff:",key"`
	Count       *uint64       `hcl:"count,optional"`
	Constraints []*Constraint `hcl:"constraint,block"`
	Affinities  []*Affinity   `hcl:"affinity,block"`
}

// NetworkResource is a group's network. Mode is host (default), bridge, none, or cni/ and a
// name. Ports with a number of their own and ports that take any are in two lists.
type NetworkResource struct {
	Mode          string     `hcl:"mode,optional" stored:"omitempty"`
	Device        string     `hcl:"device,optional" stored:"omitempty" diff:",quiet"`
	CIDR          string     `hcl:"cidr,optional" stored:"omitempty" diff:",quiet"`
	IP            string     `hcl:"ip,optional" stored:"omitempty" diff:",quiet"`
	DNS           *DNSConfig `hcl:"dns,block" stored:"omitempty"`
	ReservedPorts []Port     `hcl:"reserved_ports,block" stored:"omitempty" diff:"Static Port"`
	DynamicPorts  []Port     `hcl:"port,block" stored:"omitempty" diff:"Dynamic Port"`
	Hostname      string     `hcl:"hostname,optional" stored:"omitempty"`
	MBits         *int       `hcl:"mbits,optional" stored:"omitempty" diff:",zero"`
	CNI           *CNIConfig `hcl:"cni,block" stored:"omitempty"`
}

// HostNetworkDefault is the host network of ports that name none.
const HostNetworkDefault = "default"

// Port is a port of the host that the group gets, under a name. Value is the host's port; To is the port inside the
// group's network (0: the same as Value, -1: the same as the dynamic one). IgnoreCollision
// allows several tasks the same static port.
type Port struct {
	Label           string `hcl:",label" stored:"omitempty"`
	Value           int    `hcl:"static,optional" stored:"omitempty" diff:",nonzero"`
	To              int    `hcl:"to,optional" stored:"omitempty"`
	HostNetwork     string `hcl:"host_network,optional" stored:"omitempty"`
	IgnoreCollision bool   `hcl:"ignore_collision,optional" stored:"omitempty"`
}

// DNSConfig is what resolv.conf in the group's network says.
type DNSConfig struct {
	Servers  []string `hcl:"servers,optional"`
	Searches []string `hcl:"searches,optional"`
	Options  []string `hcl:"options,optional"`
}

// CNIConfig is handed to CNI plugins.
type CNIConfig struct {
	Args map[string]string `hcl:"args,optional"`
}
