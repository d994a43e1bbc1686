package nomadish

import (
	"net"
	"time"
)

// NodeListStub is a node in a list.
type NodeListStub struct {
	Address               string
	ID                    string
	Attributes            map[string]string `json:",omitempty"` // only if the list asks for the operating system: os.name alone
	Datacenter            string
	Name                  string
	NodeClass             string
	NodePool              string
	Version               string
	Drain                 bool
	SchedulingEligibility string
	Status                string
	StatusDescription     string
	Drivers               map[string]*DriverInfo
	HostVolumes           map[string]*HostVolumeInfo
	NodeResources         *NodeResources         `json:",omitempty"` // only if the list asks for it
	ReservedResources     *NodeReservedResources `json:",omitempty"` // only if the list asks for it
	LastDrain             *DrainMetadata
	CreateIndex           uint64
	ModifyIndex           uint64
}

// NodeStubOptions say what lists of nodes show besides the usual.
type NodeStubOptions struct {
	Resources bool // with NodeResources and ReservedResources
	OS        bool // with the attribute os.name
}

// Stub returns the node as lists show it.
func (n *Node) Stub(opts NodeStubOptions) *NodeListStub {
	stub := &NodeListStub{
		ID:                    n.ID,
		Datacenter:            n.Datacenter,
		Name:                  n.Name,
		NodeClass:             n.NodeClass,
		NodePool:              n.NodePool,
		Version:               n.Attributes["nomad.version"],
		Drain:                 n.Drain || n.DrainStrategy != nil,
		SchedulingEligibility: n.SchedulingEligibility,
		Status:                n.Status,
		StatusDescription:     n.StatusDescription,
		Drivers:               n.Drivers,
		HostVolumes:           n.HostVolumes,
		LastDrain:             n.LastDrain,
		CreateIndex:           n.CreateIndex,
		ModifyIndex:           n.ModifyIndex,
	}
	if host, _, err := net.SplitHostPort(n.HTTPAddr); err == nil {
		stub.Address = host
	}
	if opts.Resources {
		stub.NodeResources, stub.ReservedResources = n.NodeResources, n.ReservedResources
	}
	if opts.OS {
		stub.Attributes = map[string]string{"os.name": n.Attributes["os.name"]}
	}
	return stub
}

// NodeEligibilityRequest asks to let the scheduler place on a node, or not.
type NodeEligibilityRequest struct {
	NodeID      string
	Eligibility string // NodeEligible or NodeIneligible
	WriteRequest
}

// DrainSpec says how a node is to be emptied.
type DrainSpec struct {
	Deadline         time.Duration // after which what is left is moved by force; 0: never, negative: at once
	IgnoreSystemJobs bool          // they stay
}

// NodeDrainRequest asks to empty a node or, without a DrainSpec, to stop doing so.
type NodeDrainRequest struct {
	NodeID       string
	DrainSpec    *DrainSpec
	MarkEligible bool              // when the drain is over or canceled, the scheduler may place on the node again
	Meta         map[string]string // kept in the node's LastDrain
	WriteRequest
}

// NodeMetaApplyRequest changes a node's metadata while it runs.
type NodeMetaApplyRequest struct {
	NodeID string             // default the node of the agent that is asked
	Meta   map[string]*string // null: the key is unset
}

// NodeMetaResponse is a node's metadata and where it comes from.
type NodeMetaResponse struct {
	Meta    map[string]string  // all together
	Dynamic map[string]*string // set while the node ran; null: unset
	Static  map[string]string  // by the configuration of its agent
}

// NodeUpdateResponse says what became of a change to a node.
type NodeUpdateResponse struct {
	NodeModifyIndex uint64
	EvalIDs         []string
	EvalCreateIndex uint64
	QueryMeta
}

// CheckMeta says what is wrong with metadata: it is bounded.
func CheckMeta(meta map[string]string) error {
	var f faults
	if validateMeta(&f, meta); len(f.list) > 0 {
		return Errorf(KindInvalid, "%s", f.list[0].String())
	}
	return nil
}
