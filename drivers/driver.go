// Package drivers holds the contract between the agent and what runs tasks.
//
// A driver runs tasks of one kind (processes, containers, …). It is registered under its
// name with the agent's configuration; package drivertest checks it against this contract.
package drivers

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Driver runs tasks of one kind. It keeps no record of them that it needs to find them
// again: all it needs is in the Handle, which the agent stores. Methods may be called
// concurrently, also for one task.
type Driver interface {
	// Fingerprint says whether the driver can run tasks here, and with which attributes.
	// The agent calls it again from time to time.
	Fingerprint(ctx context.Context) (Fingerprint, error)

	// Schema describes the task's config block. It is the same at all times.
	Schema() Schema

	// Start returns once the task runs, or leaves nothing behind. The caller has fixed
	// spec.ID and written it down; starting an ID that this driver started before, and
	// that was not removed since, returns that task's handle, ended or not.
	Start(ctx context.Context, spec *TaskSpec) (*Handle, error)

	// Recover finds a task again that an earlier process started. It returns an error
	// that is ErrTaskLost when nothing is known of the task any more.
	Recover(ctx context.Context, h *Handle) error

	// Wait returns when the task has ended, also one that an earlier agent started, and
	// as often as it is asked; what the task wrote is in its logs then. It returns ErrTaskLost
	// when nobody saw the task's end.
	Wait(ctx context.Context, h *Handle) (Exit, error)

	// Stop asks the task to end by signal (empty: SIGTERM, or the driver's own way) and kills
	// all of it after grace. It returns when the task has ended. Stopping an ended task is no error.
	Stop(ctx context.Context, h *Handle, signal string, grace time.Duration) error

	// Remove frees all that Start made, killing what still runs. Removing twice is no error.
	Remove(ctx context.Context, h *Handle) error
}

// Signaler is a driver that can send a running task a signal by name (SIGHUP, …).
type Signaler interface {
	Signal(ctx context.Context, h *Handle, signal string) error
}

// StatsReader is a driver that can tell a running task's use of resources.
type StatsReader interface {
	Stats(ctx context.Context, h *Handle) (*Usage, error)
}

// Execer is a driver that can run a command inside a running task.
type Execer interface {
	Exec(ctx context.Context, h *Handle, req *ExecRequest) (exitCode int, err error)
}

// Networker is a driver whose tasks can have a network namespace of their own where their
// group has none. The agent makes it before Start and puts it into the spec.
type Networker interface {
	// TaskNetwork says what network the task's config asks for; nil is the host's. It is
	// called with all of the spec but Network filled in, and once before that, when nothing in
	// the config is replaced yet, to learn whether there will be a network.
	TaskNetwork(spec *TaskSpec) (*NetworkRequest, error)
}

// NetworkRequest is what a task wants of a network namespace of its own.
type NetworkRequest struct {
	Mode       string   // bridge, or none: only the loopback interface
	Ports      []Port   // mapped from the host
	Hostname   string   // default a short form of the allocation's ID
	Servers    []string // name servers; default the host's
	Searches   []string
	Options    []string
	ExtraHosts []string // lines of /etc/hosts
}

// Capable is a driver that does not have the default capabilities.
type Capable interface {
	Capabilities() Capabilities
}

// Reaper is a driver that can remove what it made for tasks that the agent no longer
// knows. The agent calls it once after it has recovered its tasks; keep holds their IDs.
type Reaper interface {
	Reap(ctx context.Context, keep map[string]bool) error
}

// Isolation says what of the file system a task sees.
type Isolation string

// The kinds of isolation. NOMAD_ALLOC_DIR and its like are host paths without
// isolation, and /alloc, /local, /secrets with an image of its own.
const (
	IsolationNone   Isolation = "none"
	IsolationChroot Isolation = "chroot"
	IsolationImage  Isolation = "image"
)

// Capabilities says what a driver's tasks can do.
type Capabilities struct {
	Isolation    Isolation // default none
	NetworkModes []string  // modes of group networks that it can join, cni/* for all of CNI's; default host
}

// Fingerprint is a driver's state on this node.
type Fingerprint struct {
	Health     Health
	Reason     string            // for users: why it is not healthy
	Attributes map[string]string // added to the node's, by full name ("driver.raw_exec.version")
}

// Health of a driver on a node.
type Health uint8

// Undetected drivers are not there at all; unhealthy ones are there and do not work.
const (
	Undetected Health = iota
	Unhealthy
	Healthy
)

// TaskSpec is all that a driver needs to start a task. Interpolation has been done.
type TaskSpec struct {
	ID        string // unique for this start of the task: ALLOC/TASK/ATTEMPT; a path-safe form is Key()
	AllocID   string
	JobID     string
	Namespace string
	Group     string
	Task      string
	Config    map[string]any // the config block
	Env       map[string]string
	User      string
	Dir       TaskDir
	Network   *Network // nil: the host's network
	// DNS is what /etc/resolv.conf says besides the host's where there is no Network; nil: the
	// host's says all. Tasks that see the host's files are not affected.
	DNS       *nomadish.DNSConfig
	Ports     []Port // all that the scheduler granted to the allocation, whatever its network
	Resources Resources
	Cgroup    string // the task's cgroup below the agent's parent, relative to each hierarchy's root
	Stdout    Output // what the task writes is kept there, behind what is there
	Stderr    Output
	Mounts    []Mount
	Labels    map[string]string

	// Notify tells users how the start goes on. It may be nil and is not called after
	// Start has returned.
	Notify func(Notice)
}

// Notice is news of a start that takes a while.
type Notice struct {
	Key     string // a notice takes the place of an earlier one with the same key; empty: of none
	Message string
	Done    int64 // of Total bytes; both 0 where there is nothing to count
	Total   int64
}

// Key is the ID in a form that can be a file name and a container's name.
func (s *TaskSpec) Key() string { return Key(s.ID) }

// TaskDir holds the host paths of a task's directories.
type TaskDir struct {
	Alloc   string // shared by the tasks of the allocation: alloc/{data,logs,tmp}
	Task    string // the task's own: local, private, secrets, tmp
	Local   string
	Secrets string
}

// Network is the network namespace of an allocation.
type Network struct {
	Namespace string // path of the namespace
	Gateway   string // the node's address as the namespace sees it; empty: there is no way out
	Hostname  string
	Hosts     string // path of the file to use as /etc/hosts, or empty
	Resolv    string // path of the file to use as /etc/resolv.conf, or empty
	Ports     []Port
}

// Port is a port that the scheduler granted.
type Port struct {
	Label  string
	Host   int
	To     int
	HostIP string
}

// Resources are a task's limits.
type Resources struct {
	CPUMHz        int64 // its share
	TotalMHz      int64 // of the node, for drivers that limit hard
	MemoryBytes   int64 // reserved
	MemoryMax     int64 // limit in bytes; 0: the same as reserved
	Cores         []uint16
	CPUHardLimit  bool
	DevicePaths   []string
	DeviceCgroups []string
}

// Limit is the number of bytes of memory at which the task is killed.
func (r Resources) Limit() int64 {
	if r.MemoryMax > 0 {
		return r.MemoryMax
	}
	return r.MemoryBytes
}

// Mount is a directory of the host that the task sees.
type Mount struct {
	Source      string
	Target      string
	ReadOnly    bool
	Propagation string
}

// Handle is what a driver needs to find a task again.
type Handle struct {
	ID     string // the TaskSpec's
	Driver string
	PID    int    // of the task's first process on the host, 0 where there is none
	State  []byte // the driver's own
}

// Exit is how a task ended.
type Exit struct {
	Code      int // 128 + signal when a signal ended it
	Signal    int
	OOMKilled bool
	OOMPeak   int64  // peak memory in bytes, 0: not known
	Err       string // why it ended when it was not the task's own doing
	Time      time.Time
}

// Successful says that the task ended by itself with code 0.
func (e Exit) Successful() bool {
	return e.Code == 0 && e.Signal == 0 && e.Err == "" && !e.OOMKilled
}

// Usage is what a task uses at Time.
type Usage struct {
	Time             time.Time
	CPUNanos         uint64 // user and system, since the start
	UserNanos        uint64
	SystemNanos      uint64
	ThrottledNanos   uint64
	ThrottledPeriods uint64
	RSS              uint64 // bytes
	Cache            uint64
	Swap             uint64
	MemoryUsage      uint64 // RSS and cache
	MemoryPeak       uint64
	MemoryKernel     uint64 // the kernel's own for the task, where it is counted
	MemoryKernelPeak uint64
	PIDs             int
}

// ExecRequest is a command to run inside a task.
type ExecRequest = nomadish.ExecRequest

// Size is a terminal's.
type Size = nomadish.TerminalSize
