package nomadish

import "time"

// What the server wants of an allocation (Allocation.DesiredStatus).
const (
	AllocDesiredRun   = "run"
	AllocDesiredStop  = "stop"
	AllocDesiredEvict = "evict"
)

// What the node says of an allocation (Allocation.ClientStatus).
const (
	AllocClientPending  = "pending"
	AllocClientRunning  = "running"
	AllocClientComplete = "complete"
	AllocClientFailed   = "failed"
	AllocClientLost     = "lost"
	AllocClientUnknown  = "unknown"
)

// Allocation is one instance of a task group on one node.
//
// State, log and wire hold no Job: JobID, Namespace and JobVersion name it, and who
// shows an allocation to a user fills Job in.
type Allocation struct {
	ID                    string
	Namespace             string
	EvalID                string
	Name                  string // job.group[index]
	NodeID                string
	NodeName              string
	JobID                 string
	JobVersion            uint64 // the version of the job that this allocation runs
	Job                   *Job   `codec:"-"`
	TaskGroup             string
	AllocatedResources    *AllocatedResources
	Metrics               *AllocationMetric
	DesiredStatus         string
	DesiredDescription    string
	DesiredTransition     DesiredTransition
	ClientStatus          string
	ClientDescription     string
	TaskStates            map[string]*TaskState
	DeploymentID          string
	DeploymentStatus      *AllocDeploymentStatus
	FollowupEvalID        string
	PreviousAllocation    string
	NextAllocation        string
	RescheduleTracker     *RescheduleTracker
	NetworkStatus         *AllocNetworkStatus
	PreemptedAllocations  []string
	PreemptedByAllocation string
	CreateIndex           uint64
	ModifyIndex           uint64
	AllocModifyIndex      uint64 // the last index at which the server, not the node, changed it
	CreateTime            int64  // nanoseconds since 1970
	ModifyTime            int64  // nanoseconds since 1970
}

// ServerTerminal says that the server wants the allocation to end.
func (a *Allocation) ServerTerminal() bool {
	return a.DesiredStatus == AllocDesiredStop || a.DesiredStatus == AllocDesiredEvict
}

// ClientTerminal says that the node has reported the allocation's end.
func (a *Allocation) ClientTerminal() bool {
	switch a.ClientStatus {
	case AllocClientComplete, AllocClientFailed, AllocClientLost:
		return true
	}
	return false
}

// Terminal says that the allocation has ended or is wanted to end.
func (a *Allocation) Terminal() bool { return a.ServerTerminal() || a.ClientTerminal() }

// DesiredTransition is what the server asks of the scheduler for one allocation.
type DesiredTransition struct {
	Migrate                 *bool
	Reschedule              *bool
	ForceReschedule         *bool
	NoShutdownDelay         *bool
	MigrateDisablePlacement *bool
}

// AllocDeploymentStatus is an allocation's health in its deployment.
type AllocDeploymentStatus struct {
	Healthy     *bool // nil: not known yet
	Timestamp   time.Time
	Canary      bool
	ModifyIndex uint64
}

// AllocNetworkStatus is what the node's network set-up gave an allocation.
type AllocNetworkStatus struct {
	InterfaceName string
	Address       string
	AddressIPv6   string
	DNS           *DNSConfig
}

// AllocatedResources is what the scheduler granted an allocation.
type AllocatedResources struct {
	Tasks          map[string]*AllocatedTaskResources
	TaskLifecycles map[string]*TaskLifecycle
	Shared         AllocatedSharedResources
}

// AllocatedTaskResources is what the scheduler granted one task.
type AllocatedTaskResources struct {
	Cpu      AllocatedCpuResources
	Memory   AllocatedMemoryResources
	Networks []*NetworkResource
	Devices  []*AllocatedDeviceResource
}

// AllocatedSharedResources is what the tasks of an allocation share.
type AllocatedSharedResources struct {
	DiskMB   int64
	Networks []*NetworkResource
	Ports    []PortMapping
}

// AllocatedCpuResources is CPU in MHz, or whole cores.
type AllocatedCpuResources struct {
	CpuShares     int64
	ReservedCores []uint16
}

// AllocatedMemoryResources is memory in MiB: the amount reserved and the limit
// (0: the same as reserved).
type AllocatedMemoryResources struct {
	MemoryMB    int64
	MemoryMaxMB int64
}

// AllocatedDeviceResource names device instances granted to a task.
type AllocatedDeviceResource struct {
	Vendor    string
	Type      string
	Name      string
	DeviceIDs []string
}

// PortMapping is a port of the host, and the port inside the group's network it leads to.
type PortMapping struct {
	Label           string
	Value           int
	To              int
	HostIP          string
	IgnoreCollision bool
}

// RescheduleTracker remembers the allocations that this one stands in for.
type RescheduleTracker struct {
	Events         []*RescheduleEvent
	LastReschedule string
}

// RescheduleEvent is one replacement of a failed allocation.
type RescheduleEvent struct {
	RescheduleTime int64 // nanoseconds since 1970
	PrevAllocID    string
	PrevNodeID     string
	Delay          time.Duration
}

// AllocationMetric says how the scheduler came to its choice for one task group:
// which nodes it looked at, and why it left out the ones that it left out.
type AllocationMetric struct {
	NodesEvaluated     int
	NodesFiltered      int
	NodesInPool        int
	NodePool           string
	NodesAvailable     map[string]int // by datacenter
	ClassFiltered      map[string]int // by node class
	ConstraintFiltered map[string]int // by constraint
	NodesExhausted     int
	ClassExhausted     map[string]int // by node class
	DimensionExhausted map[string]int // by resource: cpu, memory, disk, network: …
	QuotaExhausted     []string
	ResourcesExhausted map[string]*Resources // by task
	Scores             map[string]float64
	AllocationTime     time.Duration
	CoalescedFailures  int
	ScoreMetaData      []*NodeScoreMeta // the best five
}

// NodeScoreMeta is one node's score and its parts.
type NodeScoreMeta struct {
	NodeID    string
	Scores    map[string]float64
	NormScore float64
}

// States of a task (TaskState.State).
const (
	TaskStatePending = "pending"
	TaskStateRunning = "running"
	TaskStateDead    = "dead"
)

// MaxTaskEvents is how many of its newest events a task keeps.
const MaxTaskEvents = 10

// TaskState is a task's state as its node sees it.
type TaskState struct {
	State       string
	Failed      bool
	Restarts    uint64
	LastRestart time.Time
	StartedAt   time.Time
	FinishedAt  time.Time
	Events      []*TaskEvent // oldest first, at most MaxTaskEvents
	TaskHandle  *TaskHandle  `json:"-"`
}

// Successful says that the task has ended and did not fail.
func (s *TaskState) Successful() bool { return s.State == TaskStateDead && !s.Failed }

// TaskHandle is reserved for drivers that run tasks away from the node.
type TaskHandle struct {
	Version     int
	DriverState []byte
}

// Types of task events (TaskEvent.Type), as users know them from Nomad.
const (
	TaskEventReceived         = "Received"
	TaskEventSetup            = "Task Setup"
	TaskEventSetupFailure     = "Setup Failure"
	TaskEventDriver           = "Driver"
	TaskEventDriverFailure    = "Driver Failure"
	TaskEventFailedValidation = "Failed Validation"
	TaskEventStarted          = "Started"
	TaskEventTerminated       = "Terminated"
	TaskEventKilling          = "Killing"
	TaskEventKilled           = "Killed"
	TaskEventRestarting       = "Restarting"
	TaskEventNotRestarting    = "Not Restarting"
	TaskEventRestartSignal    = "Restart Signaled"
	TaskEventSignaling        = "Signaling"
	TaskEventSiblingFailed    = "Sibling Task Failed"
	TaskEventLeaderDead       = "Leader Task Dead"
	TaskEventMainDead         = "Main Tasks Dead"
	TaskEventHookFailed       = "Task hook failed"
	TaskEventHookMessage      = "Task hook message"
	TaskEventClientReconnect  = "Reconnected"
	TaskEventDownloading      = "Downloading Artifacts"
	TaskEventArtifactFailed   = "Failed Artifact Download"
)

// TaskEvent is something that happened to a task. Details holds the same facts as the
// fields do, by their snake-case names; newer readers use Details alone.
type TaskEvent struct {
	Type             string
	Time             int64 // nanoseconds since 1970
	DisplayMessage   string
	Details          map[string]string
	Message          string
	FailsTask        bool
	RestartReason    string
	SetupError       string
	DriverError      string
	DriverMessage    string
	ExitCode         int
	Signal           int
	KillReason       string
	KillTimeout      time.Duration
	KillError        string
	StartDelay       int64 // nanoseconds
	DownloadError    string
	ValidationError  string
	DiskLimit        int64
	DiskSize         int64
	FailedSibling    string
	VaultError       string
	TaskSignalReason string
	TaskSignal       string
	GenericSource    string
}
