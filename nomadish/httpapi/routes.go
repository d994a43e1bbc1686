package httpapi

import (
	"net/http"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// Methods of routes. Nomad takes PUT and POST as one for most writes.
var (
	get     = []string{http.MethodGet}
	put     = []string{http.MethodPut}
	write   = []string{http.MethodPut, http.MethodPost}
	destroy = []string{http.MethodDelete}
	gather  = []string{http.MethodGet, http.MethodPut, http.MethodPost}
)

// routes is the table of all routes. Paths are matched with more literal segments first.
//
// It is one long list by intent: whoever wants to know what the API offers, to whom and
// within which limits, reads it here.
func (a *API) routes() []Route {
	return slices.Concat(a.agentRoutes(), a.aclRoutes(), a.spaceRoutes(), a.authorityRoutes(), a.nodePoolRoutes(), a.internalRoutes(), []Route{
		{get, "/.well-known/jwks.json", nomadish.PermNone, OnServer, Read, 0, a.keys},
		{get, "/.well-known/openid-configuration", nomadish.PermNone, OnServer, 0, 0, a.oidcDiscovery},

		{get, "/v1/jobs", nomadish.PermListJobs, OnServer, Read, 0, a.jobs},
		{write, "/v1/jobs", nomadish.PermRegisterJob, OnLeader, ByObject, bodyJob, a.registerJob},
		{write, "/v1/jobs/parse", nomadish.PermParseJob, OnServer, 0, bodyParse, a.parseJob},
		{write, "/v1/validate/job", nomadish.PermReadJob, OnServer, ByObject, bodyJob, a.validateJob},
		{get, "/v1/job/*id", nomadish.PermReadJob, OnServer, Read, 0, a.job},
		{write, "/v1/job/*id", nomadish.PermRegisterJob, OnLeader, ByObject, bodyJob, a.updateJob},
		{destroy, "/v1/job/*id", nomadish.PermDeregisterJob, OnLeader, ByObject, 0, a.deregisterJob},
		{get, "/v1/job/*id/versions", nomadish.PermReadJob, OnServer, Read, 0, a.jobVersions},
		{write, "/v1/job/*id/versions/:tag/tag", nomadish.PermTagJobVersion, OnLeader, ByObject, 0, a.tagJobVersion},
		{destroy, "/v1/job/*id/versions/:tag/tag", nomadish.PermTagJobVersion, OnLeader, ByObject, 0, a.untagJobVersion},
		{write, "/v1/job/*id/revert", nomadish.PermRevertJob, OnLeader, ByObject, 0, a.revertJob},
		{write, "/v1/job/*id/stable", nomadish.PermStableJob, OnLeader, ByObject, 0, a.stabilizeJob},
		{write, "/v1/job/*id/plan", nomadish.PermPlanJob, OnLeader, ByObject, bodyJob, a.planJob},
		{write, "/v1/job/*id/periodic/force", nomadish.PermForcePeriodicJob, OnLeader, ByObject, 0, a.forcePeriodicJob},
		{get, "/v1/job/*id/scale", nomadish.PermReadJobScaling, OnServer, Read, 0, a.scaleStatus},
		{write, "/v1/job/*id/scale", nomadish.PermScaleJob, OnLeader, ByObject, 0, a.scaleJob},
		{get, "/v1/scaling/policies", nomadish.PermListScaling, OnServer, Read, 0, a.scalingPolicies},
		{get, "/v1/scaling/policy/:id", nomadish.PermReadScaling, OnServer, Read | ByObject, 0, a.scalingPolicy},
		{get, "/v1/job/*id/summary", nomadish.PermReadJob, OnServer, Read, 0, a.jobSummary},
		{get, "/v1/job/*id/submission", nomadish.PermReadJob, OnServer, Read, 0, a.jobSubmission},
		{get, "/v1/job/*id/allocations", nomadish.PermReadJob, OnServer, Read, 0, a.jobAllocations},
		{get, "/v1/job/*id/evaluations", nomadish.PermReadJob, OnServer, Read, 0, a.jobEvaluations},
		{get, "/v1/job/*id/deployments", nomadish.PermReadJob, OnServer, Read, 0, a.jobDeployments},
		{get, "/v1/job/*id/deployment", nomadish.PermReadJob, OnServer, Read, 0, a.jobDeployment},
		{write, "/v1/job/*id/evaluate", nomadish.PermEvaluateJob, OnLeader, ByObject, 0, a.evaluateJob},

		{get, "/v1/allocations", nomadish.PermReadJob, OnServer, Read | PrefixID, 0, a.allocations},
		{get, "/v1/allocation/:id", nomadish.PermReadJob, OnServer, Read | ByObject, 0, a.allocation},
		{write, "/v1/allocation/:id/stop", nomadish.PermAllocLifecycle, OnLeader, ByObject, 0, a.stopAllocation},

		{get, "/v1/evaluations", nomadish.PermReadJob, OnServer, Read | PrefixID, 0, a.evaluations},
		{destroy, "/v1/evaluations", nomadish.PermManagement, OnLeader, 0, 0, a.deleteEvaluations},
		{get, "/v1/evaluations/count", nomadish.PermReadJob, OnServer, Read | PrefixID, 0, a.countEvaluations},
		{get, "/v1/evaluation/:id", nomadish.PermReadJob, OnServer, Read | ByObject, 0, a.evaluation},
		{get, "/v1/evaluation/:id/allocations", nomadish.PermReadJob, OnServer, Read | ByObject, 0, a.evaluationAllocations},

		{get, "/v1/deployments", nomadish.PermReadJob, OnServer, Read | PrefixID, 0, a.deployments},

		{get, "/v1/nodes", nomadish.PermNodeRead, OnServer, Read | PrefixID, 0, a.nodes},
		{get, "/v1/node/:id", nomadish.PermNodeRead, OnServer, Read, 0, a.node},
		{get, "/v1/node/:id/allocations", nomadish.PermNodeRead, OnServer, Read, 0, a.nodeAllocations},
		{write, "/v1/node/:id/eligibility", nomadish.PermNodeWrite, OnLeader, 0, 0, a.setNodeEligibility},
		{write, "/v1/node/:id/drain", nomadish.PermNodeWrite, OnLeader, 0, 0, a.drainNode},
		{write, "/v1/node/:id/evaluate", nomadish.PermNodeWrite, OnLeader, 0, 0, a.evaluateNode},
		{write, "/v1/node/:id/purge", nomadish.PermNodeWrite, OnLeader, 0, 0, a.purgeNode},

		{get, "/v1/namespaces", nomadish.PermNamespaceAny, OnServer, Read | ByObject, 0, a.namespaces},
		{get, "/v1/namespace/:name", nomadish.PermNamespaceAny, OnServer, Read | ByObject, 0, a.namespace},

		{get, "/v1/vars", nomadish.PermByItem, OnServer, Read | CORS, 0, a.variables},
		{get, "/v1/var/*path", nomadish.PermByItem, OnServer, Read | CORS, 0, a.variable},
		{write, "/v1/var/*path", nomadish.PermByItem, OnLeader, CORS, bodyVariable, a.putVariable},
		{destroy, "/v1/var/*path", nomadish.PermByItem, OnLeader, CORS, 0, a.deleteVariable},

		{get, "/v1/acl/can-i", nomadish.PermAnyone, OnServer, 0, 0, a.canI},
		{get, "/v1/acl/who-can", nomadish.PermManagement, OnServer, 0, 0, a.whoCan},

		{get, "/v1/event/stream", nomadish.PermByItem, OnServer, 0, 0, a.events},
		{write, "/v1/search", nomadish.PermByItem, OnServer, Read, 0, a.searchPrefix},
		{write, "/v1/search/fuzzy", nomadish.PermByItem, OnServer, Read, 0, a.searchFuzzy},

		{get, "/v1/operator/scheduler/configuration", nomadish.PermOperatorRead, OnServer, Read, 0, a.schedulerConfig},
		{write, "/v1/operator/scheduler/configuration", nomadish.PermOperatorWrite, OnLeader, 0, 0, a.setSchedulerConfig},
		{get, "/v1/operator/raft/configuration", nomadish.PermManagement, OnServer, Read, 0, a.raftConfiguration},
		{destroy, "/v1/operator/raft/peer", nomadish.PermManagement, OnLeader, 0, 0, a.removeRaftPeer},
		{write, "/v1/operator/raft/transfer-leadership", nomadish.PermManagement, OnLeader, 0, 0, a.transferLeadership},
		{get, "/v1/operator/autopilot/configuration", nomadish.PermOperatorRead, OnServer, Read, 0, a.autopilotConfig},
		{put, "/v1/operator/autopilot/configuration", nomadish.PermOperatorWrite, OnLeader, 0, 0, a.setAutopilotConfig},
		{get, "/v1/operator/autopilot/health", nomadish.PermOperatorRead, OnLeader, 0, 0, a.autopilotHealth},
		{get, "/v1/operator/replication", nomadish.PermOperatorRead, OnLeader, 0, 0, a.replication},
		{get, "/v1/operator/state-hashes", nomadish.PermOperatorRead, OnLeader, 0, 0, a.stateHashes},
		{get, "/v1/operator/snapshot", nomadish.PermManagement, OnServer, Read, 0, a.saveSnapshot},
		{write, "/v1/operator/snapshot", nomadish.PermManagement, OnLeader, 0, bodySnapshot, a.restoreSnapshot},
		{get, "/v1/operator/snapshots", nomadish.PermOperatorRead, OnAgent, Peers, 0, a.savedSnapshots},
		{write, "/v1/acl/identity/client-introduction-token", nomadish.PermNodeWrite, OnLeader, 0, 0, a.introduceClient},
		{get, "/v1/operator/keyring/keys", nomadish.PermKeyringRead, OnServer, Read, 0, a.rootKeys},
		{write, "/v1/operator/keyring/rotate", nomadish.PermKeyringRotate, OnLeader, 0, 0, a.rotateRootKey},
		{get, "/v1/operator/keyring/recovery", nomadish.PermKeyringRead, OnServer, Read, 0, a.recoveryKey},
		{write, "/v1/operator/keyring/recovery", nomadish.PermManagement, OnLeader, 0, 0, a.setRecoveryKey},
		{destroy, "/v1/operator/keyring/key/:id", nomadish.PermKeyringDelete, OnLeader, 0, 0, a.deleteRootKey},
		{write, "/v1/system/reconcile/summaries", nomadish.PermManagement, OnLeader, 0, 0, a.reconcileSummaries},
		{write, "/v1/system/gc", nomadish.PermManagement, OnLeader, 0, 0, a.collectGarbage},
	})
}

// internalRoutes are for the agents of the cluster among themselves.
func (a *API) internalRoutes() []Route {
	return []Route{
		{get, "/v1/internal/shared/:kind", nomadish.PermManagement, OnServer, Read, 0, a.sharedRows},
		{get, "/v1/internal/server", nomadish.PermServer, OnServer, 0, 0, a.serverReport},
		{get, "/v1/internal/state", nomadish.PermServer, OnServer, 0, 0, a.serverState},
		{put, "/v1/internal/bootstrap", nomadish.PermServer, OnServer, 0, 0, a.offerBootstrap},
		{put, "/v1/internal/wrap-key", nomadish.PermServer, OnServer, 0, 0, a.wrapKey},
		{get, "/v1/internal/commit-index", nomadish.PermServer, OnLeader, 0, 0, a.commitIndex},
		{put, "/v1/internal/node/:node", nomadish.PermNode, OnLeader, Binary, bodyNode, a.registerNode},
		{get, "/v1/internal/node/:node/holder", nomadish.PermServer, OnLeader, 0, 0, a.nodeHolder},
		{put, "/v1/internal/witness", nomadish.PermServer, OnLeader, 0, bodyNode, a.witness},
		{put, "/v1/internal/neighbours", nomadish.PermServer, OnAgent, 0, 0, a.askNeighbours},
		{put, "/v1/internal/probe", nomadish.PermServer, OnServer, 0, 0, a.probeNodes},
		{put, "/v1/internal/node/:node/caller", nomadish.PermNode, OnServer, 0, 0, a.resolveToken},
		{put, "/v1/internal/node/:node/heartbeat", nomadish.PermNode, OnServer, Binary, 0, a.heartbeat},
		{get, "/v1/internal/node/:node/allocations", nomadish.PermNode, OnServer, Binary, 0, a.watchAllocations},
		{put, "/v1/internal/node/:node/drain", nomadish.PermNode, OnLeader, 0, 0, a.drainItself},
		{put, "/v1/internal/node/:node/identity", nomadish.PermNode, OnServer, 0, 0, a.signNodeIdentity},
		{put, "/v1/internal/node/:node/identities", nomadish.PermNode, OnServer, 0, 0, a.signIdentities},
		{put, "/v1/internal/node/:node/allocations", nomadish.PermNode, OnLeader, Binary, bodyNode, a.updateAllocations},
	}
}

// agentRoutes is the part of the table that agents answer for themselves: nodes about what
// runs on them, every agent about itself and who leads.
func (a *API) agentRoutes() []Route {
	return []Route{
		{get, "/v1/client/fs/ls/:alloc", nomadish.PermReadFS, OnNode, CORS | ByObject, 0, a.listFiles},
		{get, "/v1/client/fs/stat/:alloc", nomadish.PermReadFS, OnNode, CORS | ByObject, 0, a.statFile},
		{get, "/v1/client/fs/cat/:alloc", nomadish.PermReadFS, OnNode, CORS | ByObject, 0, a.catFile},
		{get, "/v1/client/fs/readat/:alloc", nomadish.PermReadFS, OnNode, CORS | ByObject, 0, a.readFile},
		{get, "/v1/client/fs/stream/:alloc", nomadish.PermReadFS, OnNode, CORS | ByObject, 0, a.streamFile},
		{get, "/v1/client/fs/logs/:alloc", nomadish.PermReadLogs, OnNode, CORS | ByObject, 0, a.logs},
		{get, "/v1/client/allocation/:alloc/stats", nomadish.PermReadJob, OnNode, CORS | ByObject, 0, a.allocStats},
		{get, "/v1/client/allocation/:alloc/checks", nomadish.PermReadJob, OnNode, CORS | ByObject, 0, a.allocChecks},
		{get, "/v1/client/allocation/:alloc/exec", nomadish.PermAllocExec, OnNode, CORS | Socket | ByObject, 0, a.exec},
		{get, "/v1/client/allocation/:alloc/port-forward", nomadish.PermAllocPortForward, OnNode, CORS | Tunnel | ByObject, 0, a.portForward},
		{write, "/v1/client/allocation/:alloc/signal", nomadish.PermAllocLifecycle, OnNode, CORS | ByObject, 0, a.signalAllocation},
		{write, "/v1/client/allocation/:alloc/restart", nomadish.PermAllocLifecycle, OnNode, CORS | ByObject, 0, a.restartAllocation},
		{gather, "/v1/client/allocation/:alloc/pause", nomadish.PermPauseAllocation, OnNode, CORS | ByObject, 0, a.pauseAllocation},
		{get, "/v1/client/allocation/:alloc/gc", nomadish.PermGCAllocation, OnNode, CORS | ByObject, 0, a.collectAllocation},
		{get, "/v1/client/metadata", nomadish.PermNodeRead, OnNode, CORS, 0, a.nodeMetadata},
		{write, "/v1/client/metadata", nomadish.PermNodeWrite, OnNode, CORS | NodeInBody, 0, a.applyNodeMetadata},
		{get, "/v1/client/identity", nomadish.PermNodeRead, OnNode, CORS, 0, a.nodeIdentity},
		{write, "/v1/client/identity/renew", nomadish.PermNodeWrite, OnNode, CORS | NodeInBody, 0, a.renewNodeIdentity},
		{get, "/v1/client/stats", nomadish.PermNodeRead, OnNode, CORS, 0, a.hostStats},
		{get, "/v1/client/images", nomadish.PermNodeRead, OnNode, CORS, 0, a.listImages},
		{write, "/v1/client/images", nomadish.PermNodeWrite, OnNode, 0, a.cfg.MaxImages, a.loadImages},
		{write, "/v1/client/image/*image/pull", nomadish.PermNodeWrite, OnNode, 0, 0, a.pullImage},
		{get, "/v1/client/image/*image/export", nomadish.PermNodeWrite, OnNode, 0, 0, a.exportImage},
		{destroy, "/v1/client/image/*image", nomadish.PermNodeWrite, OnNode, 0, 0, a.removeImage},
		{gather, "/v1/client/gc", nomadish.PermNodeWrite, OnNode, 0, 0, a.collectNode},

		{get, "/v1/agent/self", nomadish.PermAgentRead, OnAgent, 0, 0, a.agentSelf},
		{get, "/v1/agent/health", nomadish.PermNone, OnAgent, 0, 0, a.agentHealth},
		{get, "/v1/agent/members", nomadish.PermNodeRead, OnServer, 0, 0, a.agentMembers},
		{get, "/v1/agent/servers", nomadish.PermAgentRead, OnAgent, 0, 0, a.agentServers},
		{write, "/v1/agent/servers", nomadish.PermAgentWrite, OnAgent, 0, 0, a.setServers},
		{write, "/v1/agent/join", nomadish.PermAgentWrite, OnAgent, 0, 0, a.joinServers},
		{write, "/v1/agent/force-leave", nomadish.PermAgentWrite, OnServer, 0, 0, a.forceLeave},
		{get, "/v1/agent/keyring/list", nomadish.PermAgentWrite, OnServer, 0, 0, a.gossipKeys},
		{write, "/v1/agent/keyring/:op", nomadish.PermAgentWrite, OnServer, 0, 0, a.changeGossipKeys},
		{get, "/v1/agent/monitor", nomadish.PermAgentRead, OnAgent, Peers, 0, a.monitor},
		{get, "/v1/agent/pprof/:name", nomadish.PermAgentWrite, OnAgent, Peers, 0, a.profile},
		{get, "/v1/agent/host", nomadish.PermAgentRead, OnAgent, Peers, 0, a.host},
		{get, "/v1/agent/schedulers", nomadish.PermAgentRead, OnAgent, 0, 0, a.schedulers},
		{get, "/v1/agent/schedulers/config", nomadish.PermAgentRead, OnAgent, 0, 0, a.schedulersConfig},
		{write, "/v1/agent/schedulers/config", nomadish.PermAgentWrite, OnAgent, 0, 0, a.setSchedulersConfig},
		{get, "/v1/metrics", nomadish.PermNone, OnAgent, 0, 0, a.metrics},
		{get, "/v1/status/leader", nomadish.PermNone, OnServer, 0, 0, a.leader},
		{get, "/v1/status/peers", nomadish.PermNone, OnServer, 0, 0, a.peers},
		{get, "/v1/regions", nomadish.PermNone, OnServer, 0, 0, a.regions},
	}
}
