package nomadish

//go:generate go run ./codec/codecgen Job JobSubmission Node Allocation Evaluation Plan PlanResult Deployment JobSummary NodePool Namespace SchedulerConfiguration NodeAllocations NodeLease IdentityKey JobScalingEvents
