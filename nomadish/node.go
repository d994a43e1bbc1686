package nomadish

import "time"

// States of a node.
const (
	NodeStatusInit         = "initializing"
	NodeStatusReady        = "ready"
	NodeStatusDown         = "down"
	NodeStatusDisconnected = "disconnected"
)

// Whether the scheduler may place on a node.
const (
	NodeEligible   = "eligible"
	NodeIneligible = "ineligible"
)

// NodePoolDefault is the pool of nodes and jobs that name none; NodePoolAll holds every node.
const (
	NodePoolDefault = "default"
	NodePoolAll     = "all"
)

// Node is a machine that runs tasks.
type Node struct {
	ID                    string
	SecretID              SecretText `secret:"true"` // proves the ID; JSON shows it as empty
	Datacenter            string
	Name                  string
	HTTPAddr              string // host:port, or empty when the node serves no HTTP
	TLSEnabled            bool
	Attributes            map[string]string
	NodeResources         *NodeResources
	ReservedResources     *NodeReservedResources
	Links                 map[string]string
	Meta                  map[string]string
	NodeClass             string
	NodePool              string
	ComputedClass         string // equal for nodes that no constraint tells apart, but by unique.* attributes
	CgroupParent          string
	NodeMaxAllocs         int
	Drain                 bool
	DrainStrategy         *DrainStrategy
	SchedulingEligibility string
	Status                string
	StatusDescription     string
	StatusUpdatedAt       int64 // seconds since 1970
	Events                []*NodeEvent
	Drivers               map[string]*DriverInfo
	HostVolumes           map[string]*HostVolumeInfo
	HostNetworks          map[string]*HostNetworkInfo
	LastDrain             *DrainMetadata
	CreateIndex           uint64
	ModifyIndex           uint64
}

// Ready says that the scheduler may place allocations on the node.
func (n *Node) Ready() bool {
	return n.Status == NodeStatusReady && !n.Drain && n.SchedulingEligibility == NodeEligible
}

// DriverInfo is what a node says of one of its task drivers.
type DriverInfo struct {
	Attributes        map[string]string
	Detected          bool
	Healthy           bool
	HealthDescription string
	UpdateTime        time.Time
}

// HostVolumeInfo is a directory of the node that jobs may mount.
type HostVolumeInfo struct {
	Name     string
	Path     string
	ReadOnly bool
	ID       string
}

// HostNetworkInfo is a named network of the node.
type HostNetworkInfo struct {
	Name          string
	CIDR          string
	Interface     string
	ReservedPorts string
}

// NodeResources is what the node has.
type NodeResources struct {
	Cpu            NodeCpuResources
	Memory         NodeMemoryResources
	Disk           NodeDiskResources
	Networks       []*NetworkResource
	NodeNetworks   []*NodeNetwork
	Devices        []*NodeDeviceResource
	MinDynamicPort int // default 20000
	MaxDynamicPort int // default 32000
}

// NodeNetwork is one interface of the node and its addresses.
type NodeNetwork struct {
	Mode       string
	Device     string
	MacAddress string
	Speed      int // Mbit/s
	Addresses  []NodeNetworkAddress
}

// NodeNetworkAddress is an address of the node, under the host network's name (Alias).
type NodeNetworkAddress struct {
	Family        string // ipv4 or ipv6
	Alias         string
	Address       string
	ReservedPorts string
	Gateway       string
}

// NodeCpuResources is CPU in MHz, and cores that tasks may have to themselves.
type NodeCpuResources struct {
	CpuShares          int64
	TotalCpuCores      uint16
	ReservableCpuCores []uint16
}

// NodeMemoryResources is memory in MiB.
type NodeMemoryResources struct{ MemoryMB int64 }

// NodeDiskResources is disk space for allocations in MiB.
type NodeDiskResources struct{ DiskMB int64 }

// NodeReservedResources is what of the node tasks may not have.
type NodeReservedResources struct {
	Cpu      NodeReservedCpuResources
	Memory   NodeReservedMemoryResources
	Disk     NodeReservedDiskResources
	Networks NodeReservedNetworkResources
}

// NodeReservedCpuResources is CPU in MHz and cores kept from tasks.
type NodeReservedCpuResources struct {
	CpuShares        uint64
	ReservedCpuCores []uint16
}

// NodeReservedMemoryResources is memory in MiB kept from tasks.
type NodeReservedMemoryResources struct{ MemoryMB uint64 }

// NodeReservedDiskResources is disk space in MiB kept from tasks.
type NodeReservedDiskResources struct{ DiskMB uint64 }

// NodeReservedNetworkResources is a list of ports kept from tasks, as "22,80,8000-8100".
type NodeReservedNetworkResources struct{ ReservedHostPorts string }

// NodeDeviceResource is a group of equal devices.
type NodeDeviceResource struct {
	Vendor     string
	Type       string
	Name       string
	Instances  []*NodeDevice
	Attributes map[string]*Attribute
}

// NodeDevice is one device.
type NodeDevice struct {
	ID                string
	Healthy           bool
	HealthDescription string
	Locality          *NodeDeviceLocality
}

// NodeDeviceLocality says where a device is plugged in.
type NodeDeviceLocality struct{ PciBusID string }

// Attribute is a typed value with an optional unit.
type Attribute struct {
	FloatVal  *float64 `json:"Float,omitempty"`
	IntVal    *int64   `json:"Int,omitempty"`
	StringVal *string  `json:"String,omitempty"`
	BoolVal   *bool    `json:"Bool,omitempty"`
	Unit      string
}

// NodeEvent is something that happened to a node.
type NodeEvent struct {
	Message     string
	Subsystem   string
	Details     map[string]string
	Timestamp   time.Time
	CreateIndex uint64
}

// DrainStrategy says how a node is being emptied.
type DrainStrategy struct {
	Deadline         time.Duration // 0: none; negative: at once
	IgnoreSystemJobs bool
	ForceDeadline    time.Time // after which work is moved whatever becomes of it; zero: never, or at once
	StartedAt        time.Time
}

// Forced says that what is left on the node has to leave it now.
func (s *DrainStrategy) Forced(now time.Time) bool {
	return s.Deadline < 0 || !s.ForceDeadline.IsZero() && !now.Before(s.ForceDeadline)
}

// Equal says that two strategies are the same; nil is equal to nil alone.
func (s *DrainStrategy) Equal(o *DrainStrategy) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.Deadline == o.Deadline && s.IgnoreSystemJobs == o.IgnoreSystemJobs &&
		s.ForceDeadline.Equal(o.ForceDeadline) && s.StartedAt.Equal(o.StartedAt)
}

// What became of a drain.
const (
	DrainDraining = "draining"
	DrainComplete = "complete"
	DrainCanceled = "canceled"
)

// DrainMetadata is a node's last drain.
type DrainMetadata struct {
	StartedAt  time.Time
	UpdatedAt  time.Time
	Status     string // DrainDraining, DrainComplete or DrainCanceled
	AccessorID string // of the token of who asked for it last
	Meta       map[string]string
}
