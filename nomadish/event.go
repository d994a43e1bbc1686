package nomadish

import "context"

// Topics of events.
const (
	TopicAll        = "*"
	TopicJob        = "Job"
	TopicAllocation = "Allocation"
	TopicEvaluation = "Evaluation"
	TopicDeployment = "Deployment"
	TopicNode       = "Node"
	TopicNodePool   = "NodePool"

	TopicACLPolicy      = "ACLPolicy"
	TopicACLRole        = "ACLRole"
	TopicACLToken       = "ACLToken"
	TopicACLAuthMethod  = "ACLAuthMethod"
	TopicACLBindingRule = "ACLBindingRule"
)

// Types of events: what happened to the thing that the topic names.
const (
	EventJobRegistered                 = "JobRegistered"
	EventJobDeregistered               = "JobDeregistered"
	EventAllocationUpdated             = "AllocationUpdated" // by its node
	EventAllocationUpdateDesiredStatus = "AllocationUpdateDesiredStatus"
	EventEvaluationUpdated             = "EvaluationUpdated"
	EventDeploymentStatusUpdate        = "DeploymentStatusUpdate"
	EventDeploymentPromotion           = "DeploymentPromotion"
	EventDeploymentAllocHealth         = "DeploymentAllocHealth"
	EventNodeRegistration              = "NodeRegistration"
	EventNodeDeregistration            = "NodeDeregistration"
	EventNodeEligibility               = "NodeEligibility"
	EventNodeDrain                     = "NodeDrain"
	EventNodeEvent                     = "NodeEvent"
	EventNodePoolUpserted              = "NodePoolUpserted"
	EventNodePoolDeleted               = "NodePoolDeleted"
	EventACLPolicyUpserted             = "ACLPolicyUpserted"
	EventACLPolicyDeleted              = "ACLPolicyDeleted"
	EventACLRoleUpserted               = "ACLRoleUpserted"
	EventACLRoleDeleted                = "ACLRoleDeleted"
	EventACLTokenUpserted              = "ACLTokenUpserted"
	EventACLTokenDeleted               = "ACLTokenDeleted"
	EventACLAuthMethodUpserted         = "ACLAuthMethodUpserted"
	EventACLAuthMethodDeleted          = "ACLAuthMethodDeleted"
	EventACLBindingRuleUpserted        = "ACLBindingRuleUpserted"
	EventACLBindingRuleDeleted         = "ACLBindingRuleDeleted"
	EventPlanResult                    = "PlanResult" // what a plan of the scheduler changed
)

// Events are what one command changed: a line of the event stream. The zero Events is a
// heartbeat. Error, alone in the last line, says why the stream ends.
type Events struct {
	Index  uint64
	Events []*Event
	Error  string `json:",omitempty"`
}

// Event is one thing after it changed.
type Event struct {
	Topic      string
	Type       string
	Key        string // the thing's ID or name
	Namespace  string
	FilterKeys []string // other IDs by which the event may be asked for
	Index      uint64
	Payload    *EventPayload
}

// EventPayload holds the thing that an event is about. Of what is gone it is the last state.
type EventPayload struct {
	Job        *Job        `json:",omitempty"`
	Allocation *Allocation `json:",omitempty"` // without its job
	Evaluation *Evaluation `json:",omitempty"`
	Deployment *Deployment `json:",omitempty"`
	Node       *Node       `json:",omitempty"`
	NodePool   *NodePool   `json:",omitempty"`

	ACLPolicy      *ACLPolicy      `json:",omitempty"`
	ACLRole        *ACLRole        `json:",omitempty"`
	ACLToken       *ACLToken       `json:",omitempty"` // without its secret
	ACLAuthMethod  *ACLAuthMethod  `json:",omitempty"` // without its secrets
	ACLBindingRule *ACLBindingRule `json:",omitempty"`

	Deleted bool `json:",omitempty"` // the job was not only stopped, it is forgotten
}

// EventRequest asks for events.
type EventRequest struct {
	Topics    []EventTopic // none: all
	Namespace string       // "*": all
	// Index is where to begin: with the oldest command that is still known and not older than
	// this. 0 gives a short backlog, FromNow nothing of the past.
	Index   uint64
	FromNow bool
	Once    bool // end when all that is known is told, instead of waiting for more
	// Allowed says whether the reader may see events of a topic in a namespace. It is asked
	// anew every few seconds; nil allows everything. When Check returns an error, which is
	// asked as often, the stream ends with it.
	Allowed func(ctx context.Context, topic, namespace string) bool
	Check   func(ctx context.Context) error
}

// EventTopic is a topic, and the ID or name that events must have, or "*".
type EventTopic struct{ Topic, Key string }
