package nomadish

// Permission is something that a caller may be allowed to do: a noun and, after a colon,
// what may be done with it. Those of a namespace, a node pool, a host volume or a variable
// are asked together with its name.
type Permission string

// Permissions that are not given by rules.
const (
	PermNone       Permission = "none"    // nobody needs it, and no token is looked at
	PermAnyone     Permission = "anyone"  // everybody has it, but for who shows a token that is not good
	PermByItem     Permission = "by-item" // whoever has any rights may ask, and gets what it may see
	PermManagement Permission = "management"
	PermNode       Permission = "node"   // the client node that the path names
	PermServer     Permission = "server" // another server of the cluster
)

// Permissions on things that belong to no namespace.
const (
	PermAgentRead      Permission = "agent:read"
	PermAgentWrite     Permission = "agent:write"
	PermNodeRead       Permission = "node:read"
	PermNodeWrite      Permission = "node:write"
	PermOperatorRead   Permission = "operator:read"
	PermOperatorWrite  Permission = "operator:write"
	PermLicenseRead    Permission = "operator:license-read"
	PermSnapshotSave   Permission = "operator:snapshot-save"
	PermKeyringRead    Permission = "operator:keyring-read"
	PermKeyringRotate  Permission = "operator:keyring-rotate"
	PermKeyringDelete  Permission = "operator:keyring-delete"
	PermQuotaRead      Permission = "quota:read"
	PermQuotaWrite     Permission = "quota:write"
	PermPluginList     Permission = "plugin:list"
	PermPluginRead     Permission = "plugin:read"
	PermNodePoolRead   Permission = "node_pool:read"   // with the pool's name
	PermNodePoolWrite  Permission = "node_pool:write"  // with the pool's name
	PermNodePoolDelete Permission = "node_pool:delete" // with the pool's name
	PermMountReadOnly  Permission = "host_volume:mount-readonly"
	PermMountReadWrite Permission = "host_volume:mount-readwrite"
)

// Permissions in a namespace.
const (
	PermNamespaceAny      Permission = "namespace:*" // any at all of these
	PermListJobs          Permission = "namespace:list-jobs"
	PermParseJob          Permission = "namespace:parse-job"
	PermReadJob           Permission = "namespace:read-job"
	PermReadServices      Permission = "namespace:read-services" // read-job has it, and a workload in its namespace
	PermSubmitJob         Permission = "namespace:submit-job"    // all of the next ones, up to scale-job
	PermRegisterJob       Permission = "namespace:register-job"
	PermRevertJob         Permission = "namespace:revert-job"
	PermDeregisterJob     Permission = "namespace:deregister-job"
	PermPurgeJob          Permission = "namespace:purge-job"
	PermEvaluateJob       Permission = "namespace:evaluate-job"
	PermPlanJob           Permission = "namespace:plan-job"
	PermTagJobVersion     Permission = "namespace:tag-job-version"
	PermStableJob         Permission = "namespace:stable-job"
	PermForcePeriodicJob  Permission = "namespace:force-periodic-job" // dispatch-job has it, too
	PermGCAllocation      Permission = "namespace:gc-allocation"
	PermPauseAllocation   Permission = "namespace:pause-allocation"
	PermFailDeployment    Permission = "namespace:fail-deployment"
	PermPauseDeployment   Permission = "namespace:pause-deployment"
	PermPromoteDeployment Permission = "namespace:promote-deployment"
	PermUnblockDeployment Permission = "namespace:unblock-deployment"
	PermCancelDeployment  Permission = "namespace:cancel-deployment"
	PermSetAllocHealth    Permission = "namespace:set-alloc-health-deployment"
	PermDeleteService     Permission = "namespace:delete-service-registration"
	PermScaleJob          Permission = "namespace:scale-job"
	PermDispatchJob       Permission = "namespace:dispatch-job"
	PermReadLogs          Permission = "namespace:read-logs"
	PermReadFS            Permission = "namespace:read-fs"
	PermAllocExec         Permission = "namespace:alloc-exec"
	PermAllocNodeExec     Permission = "namespace:alloc-node-exec" // in tasks that no file system of their own isolates
	PermAllocPortForward  Permission = "namespace:alloc-port-forward"
	PermAllocLifecycle    Permission = "namespace:alloc-lifecycle"
	PermCSIRegisterPlugin Permission = "namespace:csi-register-plugin"
	PermCSIWriteVolume    Permission = "namespace:csi-write-volume"
	PermCSIReadVolume     Permission = "namespace:csi-read-volume"
	PermCSIListVolume     Permission = "namespace:csi-list-volume"
	PermCSIMountVolume    Permission = "namespace:csi-mount-volume"
	PermHostVolumeCreate  Permission = "namespace:host-volume-create"
	PermHostVolumeReg     Permission = "namespace:host-volume-register"
	PermHostVolumeRead    Permission = "namespace:host-volume-read"
	PermHostVolumeWrite   Permission = "namespace:host-volume-write"
	PermHostVolumeDelete  Permission = "namespace:host-volume-delete"
	PermListScaling       Permission = "namespace:list-scaling-policies"
	PermReadScaling       Permission = "namespace:read-scaling-policy"
	PermReadJobScaling    Permission = "namespace:read-job-scaling"
	PermSubmitRecommend   Permission = "namespace:submit-recommendation"
	PermSentinelOverride  Permission = "namespace:sentinel-override"
)

// Permissions on variables, asked with their namespace and path.
const (
	PermVariablesList    Permission = "variables:list"
	PermVariablesRead    Permission = "variables:read"
	PermVariablesWrite   Permission = "variables:write"
	PermVariablesDestroy Permission = "variables:destroy"
)

// Rights answer what a caller may do. They are fixed when the caller is recognised, and safe
// for concurrent use.
type Rights interface {
	// Management says whether everything is allowed.
	Management() bool
	// Allows says whether a permission is given. The namespace counts for permissions of
	// namespaces and variables, where "*" asks for any namespace at all; name is the node
	// pool, host volume, plugin or path of a variable that the permission is about, where ""
	// asks for any at all.
	Allows(p Permission, namespace, name string) bool
}
