package fsm

import (
	"fmt"

	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/server/state"
)

//go:generate go run ../../nomadish/codec/codecgen Entry outcome Barrier TermStart RaiseClusterLevel RegisterJob RegisterJobResult StoreSubmission DeregisterJob DeregisterJobResult PurgeJobs StabilizeJob RegisterNode UpdateNodeStatus UpdateNodeEligibility DeregisterNode UpdateAllocsFromNode TransitionAllocs ApplyPlan ApplyPlanResult UpdateEvaluations DeleteEvaluations SetSchedulerConfig SetAutopilot PutIdentityKey TagJobVersion ScaleJob AddRootKey ChangeRootKey DeleteRootKey RewrapRootKeys SetVariable VariableResult DeleteVariable AcquireLock ReleaseLock ExpireLocks ResealVariables UpsertACLPolicies DeleteACLPolicies UpsertACLRoles DeleteACLRoles UpsertACLTokens DeleteACLTokens BootstrapACL PutOneTimeToken ExchangeOneTimeToken ExpireACL UpsertACLAuthMethods DeleteACLAuthMethods UpsertACLBindingRules DeleteACLBindingRules ResealACL UpsertNamespaces DeleteNamespaces UpsertQuotas DeleteQuotas UpsertNodePools DeleteNodePools UpdateNodeDrain FinishDrains PutAuthority AdvanceAuthority CertifyAgents RevokeCertificates PutJoinToken DeleteJoinTokens UseJoinToken

// Kind says which command a log entry holds. Numbers are given once, for ever.
type Kind uint16

// The kinds of commands.
const (
	KindBarrier               Kind = 1
	KindTermStart             Kind = 2
	KindRaiseClusterLevel     Kind = 3
	KindRegisterJob           Kind = 4
	KindStoreSubmission       Kind = 5
	KindDeregisterJob         Kind = 6
	KindPurgeJobs             Kind = 7
	KindStabilizeJob          Kind = 8
	KindRegisterNode          Kind = 9
	KindUpdateNodeStatus      Kind = 10
	KindUpdateNodeEligibility Kind = 11
	KindDeregisterNode        Kind = 12
	KindUpdateAllocsFromNode  Kind = 13
	KindTransitionAllocs      Kind = 14
	KindApplyPlan             Kind = 15
	KindUpdateEvaluations     Kind = 16
	KindDeleteEvaluations     Kind = 17
	KindSetSchedulerConfig    Kind = 18
	KindPutIdentityKey        Kind = 19
	KindTagJobVersion         Kind = 20
	KindScaleJob              Kind = 21
	KindUpsertACLPolicies     Kind = 22
	KindDeleteACLPolicies     Kind = 23
	KindUpsertACLRoles        Kind = 24
	KindDeleteACLRoles        Kind = 25
	KindUpsertACLTokens       Kind = 26
	KindDeleteACLTokens       Kind = 27
	KindBootstrapACL          Kind = 28
	KindPutOneTimeToken       Kind = 29
	KindExchangeOneTimeToken  Kind = 30
	KindExpireACL             Kind = 31
	KindUpsertACLAuthMethods  Kind = 32
	KindDeleteACLAuthMethods  Kind = 33
	KindUpsertACLBindingRules Kind = 34
	KindDeleteACLBindingRules Kind = 35
	KindResealACL             Kind = 36
	KindUpsertNamespaces      Kind = 40
	KindDeleteNamespaces      Kind = 41
	KindUpsertQuotas          Kind = 42
	KindDeleteQuotas          Kind = 43

	KindSetVariable     Kind = 50
	KindDeleteVariable  Kind = 51
	KindAcquireLock     Kind = 52
	KindReleaseLock     Kind = 53
	KindExpireLocks     Kind = 54
	KindResealVariables Kind = 55
	KindAddRootKey      Kind = 45
	KindChangeRootKey   Kind = 46
	KindDeleteRootKey   Kind = 47
	KindSetAutopilot    Kind = 60

	KindUpsertNodePools Kind = 65
	KindDeleteNodePools Kind = 66
	KindUpdateNodeDrain Kind = 67
	KindFinishDrains    Kind = 68

	KindPutAuthority     Kind = 70
	KindAdvanceAuthority Kind = 71
	KindCertifyAgents    Kind = 72
	KindPutJoinToken     Kind = 73
	KindDeleteJoinTokens Kind = 74
	KindUseJoinToken     Kind = 75

	KindRewrapRootKeys     Kind = 76
	KindRevokeCertificates Kind = 77
)

// Command is one change of the state.
type Command interface {
	Kind() Kind
	// Apply writes the change, or returns an error and leaves undoing to the caller. What
	// it returns besides is a value of the kind's result type, or nil. It depends on the
	// state and on the command alone.
	Apply(w *state.Writer) (any, error)
	codec.Appender
}

// value is something that can be encoded and decoded.
type value interface {
	codec.Appender
	codec.Decoder
}

// command is a Command that can be decoded.
type command interface {
	Command
	codec.Decoder
}

// kindInfo is what is known of a kind.
type kindInfo struct {
	name   string
	level  uint32 // cluster level from which on it may be written
	make   func() command
	result func() value // a result to decode into; nil: the command has none
}

// kinds is the registry of commands: one line each.
var kinds = map[Kind]kindInfo{
	KindBarrier:               {"Barrier", 1, func() command { return new(Barrier) }, nil},
	KindTermStart:             {"TermStart", 1, func() command { return new(TermStart) }, nil},
	KindRaiseClusterLevel:     {"RaiseClusterLevel", 1, func() command { return new(RaiseClusterLevel) }, nil},
	KindRegisterJob:           {"RegisterJob", 1, func() command { return new(RegisterJob) }, func() value { return new(RegisterJobResult) }},
	KindStoreSubmission:       {"StoreSubmission", 1, func() command { return new(StoreSubmission) }, nil},
	KindDeregisterJob:         {"DeregisterJob", 1, func() command { return new(DeregisterJob) }, func() value { return new(DeregisterJobResult) }},
	KindPurgeJobs:             {"PurgeJobs", 1, func() command { return new(PurgeJobs) }, nil},
	KindStabilizeJob:          {"StabilizeJob", 1, func() command { return new(StabilizeJob) }, nil},
	KindRegisterNode:          {"RegisterNode", 1, func() command { return new(RegisterNode) }, nil},
	KindUpdateNodeStatus:      {"UpdateNodeStatus", 1, func() command { return new(UpdateNodeStatus) }, nil},
	KindUpdateNodeEligibility: {"UpdateNodeEligibility", 1, func() command { return new(UpdateNodeEligibility) }, nil},
	KindDeregisterNode:        {"DeregisterNode", 1, func() command { return new(DeregisterNode) }, nil},
	KindUpdateAllocsFromNode:  {"UpdateAllocsFromNode", 1, func() command { return new(UpdateAllocsFromNode) }, nil},
	KindTransitionAllocs:      {"TransitionAllocs", 1, func() command { return new(TransitionAllocs) }, nil},
	KindApplyPlan:             {"ApplyPlan", 1, func() command { return new(ApplyPlan) }, func() value { return new(ApplyPlanResult) }},
	KindUpdateEvaluations:     {"UpdateEvaluations", 1, func() command { return new(UpdateEvaluations) }, nil},
	KindDeleteEvaluations:     {"DeleteEvaluations", 1, func() command { return new(DeleteEvaluations) }, nil},
	KindSetSchedulerConfig:    {"SetSchedulerConfig", 1, func() command { return new(SetSchedulerConfig) }, nil},
	KindPutIdentityKey:        {"PutIdentityKey", 1, func() command { return new(PutIdentityKey) }, nil},
	KindTagJobVersion:         {"TagJobVersion", 1, func() command { return new(TagJobVersion) }, nil},
	KindScaleJob:              {"ScaleJob", 1, func() command { return new(ScaleJob) }, func() value { return new(RegisterJobResult) }},
	KindUpsertACLPolicies:     {"UpsertACLPolicies", 1, func() command { return new(UpsertACLPolicies) }, nil},
	KindDeleteACLPolicies:     {"DeleteACLPolicies", 1, func() command { return new(DeleteACLPolicies) }, nil},
	KindUpsertACLRoles:        {"UpsertACLRoles", 1, func() command { return new(UpsertACLRoles) }, nil},
	KindDeleteACLRoles:        {"DeleteACLRoles", 1, func() command { return new(DeleteACLRoles) }, nil},
	KindUpsertACLTokens:       {"UpsertACLTokens", 1, func() command { return new(UpsertACLTokens) }, nil},
	KindDeleteACLTokens:       {"DeleteACLTokens", 1, func() command { return new(DeleteACLTokens) }, nil},
	KindBootstrapACL:          {"BootstrapACL", 1, func() command { return new(BootstrapACL) }, nil},
	KindPutOneTimeToken:       {"PutOneTimeToken", 1, func() command { return new(PutOneTimeToken) }, nil},
	KindExchangeOneTimeToken:  {"ExchangeOneTimeToken", 1, func() command { return new(ExchangeOneTimeToken) }, nil},
	KindExpireACL:             {"ExpireACL", 1, func() command { return new(ExpireACL) }, nil},
	KindUpsertACLAuthMethods:  {"UpsertACLAuthMethods", 1, func() command { return new(UpsertACLAuthMethods) }, nil},
	KindDeleteACLAuthMethods:  {"DeleteACLAuthMethods", 1, func() command { return new(DeleteACLAuthMethods) }, nil},
	KindUpsertACLBindingRules: {"UpsertACLBindingRules", 1, func() command { return new(UpsertACLBindingRules) }, nil},
	KindDeleteACLBindingRules: {"DeleteACLBindingRules", 1, func() command { return new(DeleteACLBindingRules) }, nil},
	KindResealACL:             {"ResealACL", 1, func() command { return new(ResealACL) }, nil},
	KindUpsertNamespaces:      {"UpsertNamespaces", 1, func() command { return new(UpsertNamespaces) }, nil},
	KindDeleteNamespaces:      {"DeleteNamespaces", 1, func() command { return new(DeleteNamespaces) }, nil},
	KindUpsertQuotas:          {"UpsertQuotas", 1, func() command { return new(UpsertQuotas) }, nil},
	KindDeleteQuotas:          {"DeleteQuotas", 1, func() command { return new(DeleteQuotas) }, nil},
	KindAddRootKey:            {"AddRootKey", 1, func() command { return new(AddRootKey) }, nil},
	KindChangeRootKey:         {"ChangeRootKey", 1, func() command { return new(ChangeRootKey) }, nil},
	KindDeleteRootKey:         {"DeleteRootKey", 1, func() command { return new(DeleteRootKey) }, nil},

	KindSetVariable:     {"SetVariable", 1, func() command { return new(SetVariable) }, func() value { return new(VariableResult) }},
	KindDeleteVariable:  {"DeleteVariable", 1, func() command { return new(DeleteVariable) }, func() value { return new(VariableResult) }},
	KindAcquireLock:     {"AcquireLock", 1, func() command { return new(AcquireLock) }, func() value { return new(VariableResult) }},
	KindReleaseLock:     {"ReleaseLock", 1, func() command { return new(ReleaseLock) }, func() value { return new(VariableResult) }},
	KindExpireLocks:     {"ExpireLocks", 1, func() command { return new(ExpireLocks) }, nil},
	KindSetAutopilot:    {"SetAutopilot", 1, func() command { return new(SetAutopilot) }, nil},
	KindResealVariables: {"ResealVariables", 1, func() command { return new(ResealVariables) }, nil},

	KindUpsertNodePools:    {"UpsertNodePools", 1, func() command { return new(UpsertNodePools) }, nil},
	KindDeleteNodePools:    {"DeleteNodePools", 1, func() command { return new(DeleteNodePools) }, nil},
	KindUpdateNodeDrain:    {"UpdateNodeDrain", 1, func() command { return new(UpdateNodeDrain) }, nil},
	KindFinishDrains:       {"FinishDrains", 1, func() command { return new(FinishDrains) }, nil},
	KindPutAuthority:       {"PutAuthority", 1, func() command { return new(PutAuthority) }, nil},
	KindAdvanceAuthority:   {"AdvanceAuthority", 1, func() command { return new(AdvanceAuthority) }, nil},
	KindCertifyAgents:      {"CertifyAgents", 1, func() command { return new(CertifyAgents) }, nil},
	KindPutJoinToken:       {"PutJoinToken", 1, func() command { return new(PutJoinToken) }, nil},
	KindDeleteJoinTokens:   {"DeleteJoinTokens", 1, func() command { return new(DeleteJoinTokens) }, nil},
	KindRevokeCertificates: {"RevokeCertificates", 1, func() command { return new(RevokeCertificates) }, nil},
	KindRewrapRootKeys:     {"RewrapRootKeys", 1, func() command { return new(RewrapRootKeys) }, nil},
	KindUseJoinToken:       {"UseJoinToken", 1, func() command { return new(UseJoinToken) }, nil},
}

// info looks a kind up.
func (k Kind) info() (kindInfo, bool) {
	if info, ok := nextKinds[k]; ok {
		return info, true
	}
	info, ok := kinds[k]
	return info, ok
}

// String returns the name of the command.
func (k Kind) String() string {
	if info, ok := k.info(); ok {
		return info.name
	}
	return fmt.Sprintf("kind %d", k)
}

// Level is the cluster level from which on a kind may be written; 0: the kind is unknown.
func (k Kind) Level() uint32 {
	info, _ := k.info()
	return info.level
}
