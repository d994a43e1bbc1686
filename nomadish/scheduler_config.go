package nomadish

// Ways to choose among the nodes that fit (SchedulerConfiguration.SchedulerAlgorithm).
const (
	SchedulerBinpack = "binpack" // the fullest node first
	SchedulerSpread  = "spread"  // the emptiest node first
)

// SchedulerConfiguration is what operators decide about scheduling in the whole cluster.
type SchedulerConfiguration struct {
	SchedulerAlgorithm            string
	PreemptionConfig              PreemptionConfig
	MemoryOversubscriptionEnabled bool
	RejectJobRegistration         bool
	PauseEvalBroker               bool
	NodeLimitForFeasibilityChecks uint64
	CreateIndex                   uint64
	ModifyIndex                   uint64
}

// PreemptionConfig says which types of jobs may evict those of lower priority.
type PreemptionConfig struct {
	SystemSchedulerEnabled   bool
	SysBatchSchedulerEnabled bool
	BatchSchedulerEnabled    bool
	ServiceSchedulerEnabled  bool
}

// SchedulerConfigurationResponse shows the scheduler configuration.
type SchedulerConfigurationResponse struct {
	SchedulerConfig *SchedulerConfiguration
	QueryMeta
}

// SchedulerSetConfigurationResponse says whether a change was made: false means that it
// was asked for at an index that is no longer the configuration's.
type SchedulerSetConfigurationResponse struct {
	Updated bool
	QueryMeta
}
