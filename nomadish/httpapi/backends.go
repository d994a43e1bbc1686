package httpapi

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// Backends are what is behind the routes.
//
// Every method gets a context that carries the caller (nomadish.CallerFrom) and ends with
// the request. Reads take a watch set, which is nil unless the caller waits for a change;
// they put into it all that their answer depends on, and return the index at which the
// answer last changed: that of the table for lists, of the object for objects. Rows are
// shared and never changed here. An error's kind decides the status of the answer.
type Backends struct {
	Authority Authority
	Router    Router
	Agent     Agent
	Members   Members
	Metrics   Metrics
	Debug     Debug
	Audit     Auditor // nil: no log is kept
	Server    *Server // nil on an agent that is no server: it asks Router for one
	Node      *Node   // nil on an agent that runs no tasks
}

// Authority knows who callers are.
type Authority interface {
	// Authenticate finds out who makes a request, and what it may do. KindDenied: its
	// credentials are not good, or not any more.
	Authenticate(ctx context.Context, c nomadish.Credentials) (nomadish.Caller, error)
}

// Router finds the way to the agent that has to run a request. Each method returns nil
// when that is this agent.
type Router interface {
	Server(ctx context.Context) (http.RoundTripper, error)
	Leader(ctx context.Context) (http.RoundTripper, error)
	Region(ctx context.Context, region string) (http.RoundTripper, error) // unknown: "No path to region"
	Node(ctx context.Context, nodeID string) (http.RoundTripper, error)   // not connected: "No path to node"
	Peer(ctx context.Context, server string) (http.RoundTripper, error)   // a server by ID or name, or "leader"
}

// Agent tells of this agent.
type Agent interface {
	Self(ctx context.Context) (*nomadish.AgentSelf, error)
	Members(ctx context.Context) (*nomadish.ServerMembers, error)
	Servers(ctx context.Context) ([]string, error) // that the client half talks to
	Health(ctx context.Context) *nomadish.AgentHealth
}

// Metrics shows this agent's metrics.
type Metrics interface {
	Summary(ctx context.Context) (any, error) // encoded as JSON
	// Prometheus writes the text format and returns its content type. It returns false
	// when it is switched off.
	Prometheus(w io.Writer) (contentType string, ok bool, err error)
}

// Debug shows what goes on inside this agent.
type Debug interface {
	CheckMonitor(req *nomadish.MonitorRequest) error // says what is wrong with it
	// Monitor calls emit with lines of the log until ctx ends, or this agent.
	Monitor(ctx context.Context, req *nomadish.MonitorRequest, emit func(*nomadish.StreamFrame) error) error
	Profile(ctx context.Context, req *nomadish.ProfileRequest) (body []byte, contentType string, err error)
	Host(ctx context.Context) (*nomadish.HostInfo, error)
	Schedulers(ctx context.Context) (*nomadish.SchedulerWorkers, error)
	SchedulersConfig(ctx context.Context) (*nomadish.SchedulerWorkerConfig, error)
	SetSchedulersConfig(ctx context.Context, req *nomadish.SchedulerWorkerConfig) (*nomadish.SchedulerWorkerConfig, error)
}

// Server is a server's half of the backends.
type Server struct {
	Reads         Reads
	Status        Status
	Jobs          Jobs
	JobWrites     JobWrites
	JobVersions   JobVersions
	Planner       Planner
	Scaling       Scaling
	Launches      Launches
	Parser        Parser
	Allocations   Allocations
	Evaluations   Evaluations
	Deployments   Deployments
	Nodes         Nodes
	NodeWrites    NodeWrites
	NodeAgents    NodeAgents
	Witness       Witness
	Introductions Introductions
	Callers       Callers
	AccessSurvey  AccessSurvey
	Shared        Sharing
	Replication   Replication
	Operator      Operator
	Raft          Raft
	Servers       Servers
	Autopilot     Autopilot
	Snapshots     Snapshots
	Catalog       Catalog
	System        System
	Authorities   Authorities // the cluster's own certificate authority
	Keyring       Keyring
	Events        Events
	Search        Search
	Variables     Variables
	ACL           ACL
	Spaces        Spaces
	NodePools     NodePools
	Drains        Drains
}

// Reads makes reads consistent.
type Reads interface {
	// Sync returns once this server's state holds every write that was acknowledged
	// before the call.
	Sync(ctx context.Context) error
	// Contact says whether a leader is known, and when this server last heard of it.
	Contact() (knownLeader bool, lastContact time.Duration)
	// Restored is the index at which the whole state was last replaced by a saved one; 0: never.
	Restored() uint64
	// Serving says why this server may not answer reads, stale ones included; nil: it may.
	Serving() error
	// CommitIndex returns, on the leader, an index that is at or past all acknowledged
	// writes, after a quorum confirmed that it leads. Followers ask it to sync.
	CommitIndex(ctx context.Context) (uint64, error)
}

// Status tells of the servers.
type Status interface {
	Leader(ctx context.Context) (string, error) // host:port
	Peers(ctx context.Context) ([]string, error)
	Regions(ctx context.Context) ([]string, error)
}

// Jobs reads jobs.
type Jobs interface {
	Jobs(ctx context.Context, ws memdb.WatchSet, namespace, prefix string, meta bool) (iter.Seq[*nomadish.JobListStub], uint64, error) // by namespace and id
	Job(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.Job, uint64, error)
	JobSummary(ctx context.Context, ws memdb.WatchSet, namespace, id string) (*nomadish.JobSummary, uint64, error)
	JobSubmission(ctx context.Context, ws memdb.WatchSet, namespace, id string, version uint64) (*nomadish.JobSubmission, uint64, error)
}

// JobWrites changes jobs. The second result is the index of the write.
type JobWrites interface {
	RegisterJob(ctx context.Context, req *nomadish.JobRegisterRequest) (*nomadish.JobRegisterResponse, uint64, error)
	DeregisterJob(ctx context.Context, req *nomadish.JobDeregisterRequest) (*nomadish.JobDeregisterResponse, uint64, error)
	EvaluateJob(ctx context.Context, req *nomadish.JobEvaluateRequest) (*nomadish.JobRegisterResponse, uint64, error)
	ValidateJob(ctx context.Context, req *nomadish.JobValidateRequest) (*nomadish.JobValidateResponse, error)
}

// Parser reads job files.
type Parser interface {
	ParseJob(ctx context.Context, req *nomadish.JobsParseRequest) (*nomadish.Job, error)
}

// Allocations reads allocations, and stops them. Answers in full have the job filled in.
type Allocations interface {
	Allocations(ctx context.Context, ws memdb.WatchSet, namespace, prefix string, opts nomadish.AllocStubOptions) (iter.Seq[*nomadish.AllocationListStub], uint64, error)
	AllocationsByJob(ctx context.Context, ws memdb.WatchSet, namespace, jobID string, all bool) (iter.Seq[*nomadish.AllocationListStub], uint64, error)
	AllocationsByEvaluation(ctx context.Context, ws memdb.WatchSet, evalID string) (iter.Seq[*nomadish.AllocationListStub], uint64, error)
	AllocationsByNode(ctx context.Context, ws memdb.WatchSet, nodeID string) ([]*nomadish.Allocation, uint64, error)
	Allocation(ctx context.Context, ws memdb.WatchSet, id string) (*nomadish.Allocation, uint64, error)
	StopAllocation(ctx context.Context, req *nomadish.AllocStopRequest) (*nomadish.AllocStopResponse, uint64, error)
}

// Evaluations reads evaluations, and deletes ended ones.
type Evaluations interface {
	Evaluations(ctx context.Context, ws memdb.WatchSet, namespace, prefix string) (iter.Seq[*nomadish.Evaluation], uint64, error)
	EvaluationsByJob(ctx context.Context, ws memdb.WatchSet, namespace, jobID string) (iter.Seq[*nomadish.Evaluation], uint64, error)
	Evaluation(ctx context.Context, ws memdb.WatchSet, id string) (*nomadish.Evaluation, uint64, error)
	RelatedEvaluations(ctx context.Context, ws memdb.WatchSet, id string) ([]*nomadish.EvaluationStub, error)
	DeleteEvaluations(ctx context.Context, req *nomadish.EvaluationDeleteRequest) (count int, index uint64, err error)
}

// Deployments reads deployments.
type Deployments interface {
	Deployments(ctx context.Context, ws memdb.WatchSet, namespace, prefix string) (iter.Seq[*nomadish.Deployment], uint64, error)
	DeploymentsByJob(ctx context.Context, ws memdb.WatchSet, namespace, jobID string, all bool) (iter.Seq[*nomadish.Deployment], uint64, error)
}

// Nodes reads nodes.
type Nodes interface {
	Nodes(ctx context.Context, ws memdb.WatchSet, prefix string, opts nomadish.NodeStubOptions) (iter.Seq[*nomadish.NodeListStub], uint64, error) // by id
	Node(ctx context.Context, ws memdb.WatchSet, id string) (*nomadish.Node, uint64, error)
}

// NodeWrites changes nodes on behalf of users. The second result is the index of the write.
type NodeWrites interface {
	SetNodeEligibility(ctx context.Context, req *nomadish.NodeEligibilityRequest) (*nomadish.NodeUpdateResponse, uint64, error)
	EvaluateNode(ctx context.Context, id string) (*nomadish.NodeUpdateResponse, uint64, error)
	PurgeNode(ctx context.Context, id string) (*nomadish.NodeUpdateResponse, uint64, error)
}

// NodeAgents is what client nodes talk to. The caller is that node.
type NodeAgents interface {
	RegisterNode(ctx context.Context, node *nomadish.Node) (*nomadish.NodeLease, error)
	Heartbeat(ctx context.Context, nodeID, status string) (*nomadish.NodeLease, error)
	// NodeAllocations is stale but never goes back. since and count are the index and the
	// count of the node's earlier answer; 0 when it has none.
	NodeAllocations(ctx context.Context, ws memdb.WatchSet, nodeID string, since uint64, count int) (*nomadish.NodeAllocations, uint64, error)
	UpdateAllocations(ctx context.Context, nodeID string, allocs []*nomadish.Allocation) (uint64, error)
	SignIdentities(ctx context.Context, nodeID string, req *nomadish.IdentitiesRequest) (*nomadish.IdentitiesResponse, error)
	SignNodeIdentity(ctx context.Context, nodeID string) (*nomadish.SignedNodeIdentity, error)
}

// Callers tells nodes who their callers are.
type Callers interface {
	// ResolveToken says whom a token makes its bearer. KindDenied: nobody.
	ResolveToken(ctx context.Context, token string) (*nomadish.ResolvedCaller, error)
}

// Operator reads and sets what operators decide for the whole cluster.
type Operator interface {
	SchedulerConfig(ctx context.Context, ws memdb.WatchSet) (*nomadish.SchedulerConfiguration, uint64, error)
	// SetSchedulerConfig changes it, with cas only if it is unchanged since that index.
	SetSchedulerConfig(ctx context.Context, c *nomadish.SchedulerConfiguration, cas *uint64) (updated bool, index uint64, err error)
}

// Catalog reads what jobs are sorted into: namespaces and node pools.
type Catalog interface {
	Namespaces(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.Namespace], uint64, error) // by name
	Namespace(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.Namespace, uint64, error)
	NodePools(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.NodePool], uint64, error) // by name
	NodePool(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.NodePool, uint64, error)
}

// System is about the cluster as a whole.
type System interface {
	CollectGarbage(ctx context.Context) error
	ReconcileSummaries(ctx context.Context) error
}

// Keyring is about root keys, and about what verifies the identities that they sign.
type Keyring interface {
	RootKeys(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.RootKey], uint64, error)
	RotateRootKey(ctx context.Context, req *nomadish.KeyringRotateRequest) (*nomadish.KeyringRotateResponse, uint64, error)
	DeleteRootKey(ctx context.Context, id string, force bool) (uint64, error)
	RecoveryKey(ctx context.Context, ws memdb.WatchSet) (*nomadish.RecoveryKeyResponse, uint64, error)
	SetRecoveryKey(ctx context.Context, req *nomadish.RecoveryKeyRequest) (*nomadish.RecoveryKeyResponse, error)
	Keys(ctx context.Context, ws memdb.WatchSet) (*nomadish.KeySet, uint64, error)
	OIDCDiscovery(ctx context.Context) (*nomadish.OIDCDiscovery, error)
}

// Events tells what changes.
type Events interface {
	// StreamEvents calls emit with lines of JSON until ctx ends, or this server's work.
	StreamEvents(ctx context.Context, req *nomadish.EventRequest, emit func(line []byte) error) error
}

// Search finds things by what their names begin with or hold. What the caller may not see
// is left out.
type Search interface {
	SearchPrefix(ctx context.Context, req *nomadish.SearchRequest) (*nomadish.SearchResponse, error)
	SearchFuzzy(ctx context.Context, req *nomadish.FuzzySearchRequest) (*nomadish.FuzzySearchResponse, error)
}

// Node is a client node's half of the backends.
type Node struct {
	ID    string
	Files Files
	Usage Usage
	Tasks Tasks

	Metadata Metadata
	Identity NodeIdentity
	// Neighbours is nil on a node that does not look at others.
	Neighbours Neighbours
	// Images is nil on a node without a driver that keeps images.
	Images Images
}

// Tasks acts on the tasks of this node's allocations.
type Tasks interface {
	// Isolated says whether a task has a file system of its own: whoever runs a command in one
	// that has not is on the node. It is true of a task that is not there.
	Isolated(allocID, task string) bool
	// Exec runs a command inside a running task and returns its exit code. The command ends
	// with ctx. The caller ends a blocked Stdin once Exec has returned.
	Exec(ctx context.Context, allocID string, req *nomadish.ExecRequest) (int, error)
	Signal(ctx context.Context, allocID string, req *nomadish.AllocSignalRequest) error
	Restart(ctx context.Context, allocID string, req *nomadish.AllocRestartRequest) error
	// Dial connects to a port of a task, by number or label.
	Dial(ctx context.Context, allocID, task, port string) (net.Conn, error)
}

// Files reads what is in the directories of this node's allocations. Errors of unknown
// allocations are KindNotFound.
type Files interface {
	Has(allocID string) bool
	Namespace(allocID string) (string, error) // that an allocation belongs to
	List(ctx context.Context, allocID, path string) ([]*nomadish.AllocFileInfo, error)
	Stat(ctx context.Context, allocID, path string) (*nomadish.AllocFileInfo, error)
	Read(ctx context.Context, req *nomadish.FileRequest) (io.ReadCloser, error)
	// Stream and Logs call emit with frames of at most 64 KiB until the content ends, or,
	// when they follow it, until ctx does. They return emit's error at once.
	Stream(ctx context.Context, req *nomadish.FileRequest, emit func(*nomadish.StreamFrame) error) error
	Logs(ctx context.Context, req *nomadish.LogRequest, emit func(*nomadish.StreamFrame) error) error
}

// Usage tells what this node and its allocations use, and frees what they no longer do.
type Usage interface {
	HostStats(ctx context.Context) (*nomadish.HostStats, error)
	AllocStats(ctx context.Context, allocID, task string) (*nomadish.AllocResourceUsage, error) // task "": all
	CollectGarbage(ctx context.Context, allocID string) error                                   // "": of all ended allocations
}

// validate says what is missing.
func (b Backends) validate() error {
	var errs []error
	if b.Authority == nil {
		errs = append(errs, errors.New("authority: must be set"))
	}
	if b.Router == nil {
		errs = append(errs, errors.New("router: must be set"))
	}
	if b.Agent == nil {
		errs = append(errs, errors.New("agent: must be set"))
	}
	return errors.Join(errs...)
}
