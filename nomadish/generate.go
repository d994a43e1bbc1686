package nomadish

//go:generate go run ./codec/codecgen Job JobSubmission Node Allocation Evaluation Plan PlanResult Deployment JobSummary NodePool Namespace SchedulerConfiguration AutopilotConfiguration NodeAllocations NodeLease IdentityKey JobScalingEvents RootKey RecoveryKey Sealed KeyedHash ACLPolicy ACLRole ACLToken OneTimeToken ACLAuthMethod ACLBindingRule QuotaSpec SealedVariable VariableContent Authority CertifiedAgent RevokedCertificate JoinToken
