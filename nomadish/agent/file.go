package agent

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/nomadish/nomadish/nomadish"
)

// File is what agent configuration files say, by Nomad's keys. A field that no file sets is
// nil. A field whose tag effect is "none" is understood and changes nothing yet: using it
// gives a warning that names it.
type File struct {
	Region                    *string           `hcl:"region,optional"`
	Datacenter                *string           `hcl:"datacenter,optional"`
	Name                      *string           `hcl:"name,optional"`
	DataDir                   *string           `hcl:"data_dir,optional"`
	PluginDir                 *string           `hcl:"plugin_dir,optional" effect:"none"`
	LogLevel                  *string           `hcl:"log_level,optional"`
	LogJSON                   *bool             `hcl:"log_json,optional"`
	LogFile                   *string           `hcl:"log_file,optional" effect:"none"`
	LogIncludeLocation        *bool             `hcl:"log_include_location,optional" effect:"none"`
	LogRotateDuration         *string           `hcl:"log_rotate_duration,optional" effect:"none"`
	LogRotateBytes            *int              `hcl:"log_rotate_bytes,optional" effect:"none"`
	LogRotateMaxFiles         *int              `hcl:"log_rotate_max_files,optional" effect:"none"`
	BindAddr                  *string           `hcl:"bind_addr,optional"`
	EnableDebug               *bool             `hcl:"enable_debug,optional"`
	LeaveOnInterrupt          *bool             `hcl:"leave_on_interrupt,optional"`
	LeaveOnTerminate          *bool             `hcl:"leave_on_terminate,optional"`
	EnableSyslog              *bool             `hcl:"enable_syslog,optional" effect:"none"`
	SyslogFacility            *string           `hcl:"syslog_facility,optional" effect:"none"`
	DisableUpdateCheck        *bool             `hcl:"disable_update_check,optional"` // nothing is ever asked for
	DisableAnonymousSignature *bool             `hcl:"disable_anonymous_signature,optional"`
	HTTPAPIResponseHeaders    map[string]string `hcl:"http_api_response_headers,optional"`
	HTTPHosts                 []string          `hcl:"http_hosts,optional"` // ours

	Ports     *PortsFile     `hcl:"ports,block"`
	Addresses *AddressesFile `hcl:"addresses,block"`
	Advertise *AddressesFile `hcl:"advertise,block"`
	Server    *ServerFile    `hcl:"server,block"`
	Client    *ClientFile    `hcl:"client,block"`
	ACL       *ACLFile       `hcl:"acl,block"`
	Telemetry *TelemetryFile `hcl:"telemetry,block"`
	Limits    *LimitsFile    `hcl:"limits,block"`
	TLS       *TLSFile       `hcl:"tls,block"`
	Plugins   []*PluginFile  `hcl:"plugin,block"`
	Consul    []*Elsewhere   `hcl:"consul,block" effect:"none"`
	Vault     []*Elsewhere   `hcl:"vault,block"`
	Sentinel  *Elsewhere     `hcl:"sentinel,block" effect:"none"`
	Autopilot *Elsewhere     `hcl:"autopilot,block" effect:"none"`
	Audit     *AuditFile     `hcl:"audit,block"`
	UI        *Elsewhere     `hcl:"ui,block" effect:"none"`
	Keyring   []*KeyringFile `hcl:"keyring,block"`
	Reporting *Elsewhere     `hcl:"reporting,block"`
	RPC       *Elsewhere     `hcl:"rpc,block" effect:"none"`
	Eventlog  *Elsewhere     `hcl:"eventlog,block" effect:"none"`
}

// Elsewhere is a block whose content belongs to what is not there yet.
type Elsewhere struct {
	Body hcl.Body `hcl:",remain"`
}

// PortsFile are the ports to bind.
type PortsFile struct {
	HTTP *int `hcl:"http,optional"`
	RPC  *int `hcl:"rpc,optional"`
	Serf *int `hcl:"serf,optional"`
}

// AddressesFile are the addresses to bind, or to tell others.
type AddressesFile struct {
	HTTP *string `hcl:"http,optional"`
	RPC  *string `hcl:"rpc,optional"`
	Serf *string `hcl:"serf,optional"`
}

// ServerFile is the server block.
type ServerFile struct {
	Enabled                *bool             `hcl:"enabled,optional"`
	AuthoritativeRegion    *string           `hcl:"authoritative_region,optional"`
	BootstrapExpect        *int              `hcl:"bootstrap_expect,optional"`
	DataDir                *string           `hcl:"data_dir,optional"`
	ProtocolVersion        *int              `hcl:"protocol_version,optional"`
	RaftProtocol           *int              `hcl:"raft_protocol,optional"`
	RaftMultiplier         *int              `hcl:"raft_multiplier,optional"`
	RaftSnapshotThreshold  *int              `hcl:"raft_snapshot_threshold,optional"`
	RaftSnapshotInterval   *string           `hcl:"raft_snapshot_interval,optional"`
	RaiseLevelAfter        *string           `hcl:"raise_level_after,optional"` // ours: how long all servers must have spoken a newer level; until then an upgrade can be taken back
	RaftTrailingLogs       *int              `hcl:"raft_trailing_logs,optional"`
	RaftBoltdb             *Elsewhere        `hcl:"raft_boltdb,block"`
	RaftLogstore           *Elsewhere        `hcl:"raft_logstore,block"`
	NumSchedulers          *int              `hcl:"num_schedulers,optional"`
	EnabledSchedulers      []string          `hcl:"enabled_schedulers,optional" effect:"none"`
	NodeGCThreshold        *string           `hcl:"node_gc_threshold,optional"`
	JobGCInterval          *string           `hcl:"job_gc_interval,optional"`
	JobGCThreshold         *string           `hcl:"job_gc_threshold,optional"`
	EvalGCThreshold        *string           `hcl:"eval_gc_threshold,optional"`
	BatchEvalGCThreshold   *string           `hcl:"batch_eval_gc_threshold,optional"`
	DeploymentGCThreshold  *string           `hcl:"deployment_gc_threshold,optional" effect:"none"`
	CSIVolumeGCThreshold   *string           `hcl:"csi_volume_claim_gc_threshold,optional" effect:"none"`
	CSIPluginGCThreshold   *string           `hcl:"csi_plugin_gc_threshold,optional" effect:"none"`
	ACLTokenGCThreshold    *string           `hcl:"acl_token_gc_threshold,optional"`
	RootKeyGCInterval      *string           `hcl:"root_key_gc_interval,optional"`
	RootKeyGCThreshold     *string           `hcl:"root_key_gc_threshold,optional"`
	RootKeyRotation        *string           `hcl:"root_key_rotation_threshold,optional"`
	HeartbeatGrace         *string           `hcl:"heartbeat_grace,optional"`
	MinHeartbeatTTL        *string           `hcl:"min_heartbeat_ttl,optional"`
	MaxHeartbeatsPerSecond *float64          `hcl:"max_heartbeats_per_second,optional"`
	FailoverHeartbeatTTL   *string           `hcl:"failover_heartbeat_ttl,optional"`
	StartJoin              []string          `hcl:"start_join,optional"`
	RetryJoin              []string          `hcl:"retry_join,optional"`
	RetryMax               *int              `hcl:"retry_max,optional"`
	RetryInterval          *string           `hcl:"retry_interval,optional"`
	RejoinAfterLeave       *bool             `hcl:"rejoin_after_leave,optional"`
	NonVotingServer        *bool             `hcl:"non_voting_server,optional"`
	RedundancyZone         *string           `hcl:"redundancy_zone,optional" effect:"none"`
	UpgradeVersion         *string           `hcl:"upgrade_version,optional" effect:"none"`
	Encrypt                *string           `hcl:"encrypt,optional"`
	EnableEventBroker      *bool             `hcl:"enable_event_broker,optional" effect:"none"`
	EventBufferSize        *int              `hcl:"event_buffer_size,optional"`
	LicensePath            *string           `hcl:"license_path,optional"`
	LicenseEnv             *string           `hcl:"license_env,optional"`
	JobDefaultPriority     *int              `hcl:"job_default_priority,optional" effect:"none"`
	JobMaxPriority         *int              `hcl:"job_max_priority,optional" effect:"none"`
	JobMaxCount            *int              `hcl:"job_max_count,optional" effect:"none"`
	JobMaxSourceSize       *string           `hcl:"job_max_source_size,optional" effect:"none"`
	JobTrackedVersions     *int              `hcl:"job_tracked_versions,optional" effect:"none"`
	OIDCIssuer             *string           `hcl:"oidc_issuer,optional"`
	IdentityAlgorithm      *string           `hcl:"identity_algorithm,optional"` // of keys that sign workload identities: EdDSA or RS256; default EdDSA
	StartTimeout           *string           `hcl:"start_timeout,optional" effect:"none"`
	DeploymentQueryLimit   *int              `hcl:"deployment_query_rate_limit,optional" effect:"none"`
	ServerJoin             *ServerJoinFile   `hcl:"server_join,block"`
	DefaultScheduler       *Elsewhere        `hcl:"default_scheduler_config,block" effect:"none"`
	PlanRejectionTracker   *Elsewhere        `hcl:"plan_rejection_tracker,block" effect:"none"`
	Search                 *Elsewhere        `hcl:"search,block" effect:"none"`
	ClientIntroduction     *IntroductionFile `hcl:"client_introduction,block"`
	Snapshots              *SnapshotsFile    `hcl:"snapshots,block"` // ours
}

// ClientFile is the client block.
type ClientFile struct {
	Enabled                *bool                `hcl:"enabled,optional"`
	StateDir               *string              `hcl:"state_dir,optional" effect:"none"`
	AllocDir               *string              `hcl:"alloc_dir,optional" effect:"none"`
	AllocMountsDir         *string              `hcl:"alloc_mounts_dir,optional" effect:"none"`
	Servers                []string             `hcl:"servers,optional"`
	NodeClass              *string              `hcl:"node_class,optional"`
	NodePool               *string              `hcl:"node_pool,optional"`
	Options                map[string]string    `hcl:"options,optional"`
	Meta                   map[string]string    `hcl:"meta,optional"`
	ChrootEnv              map[string]string    `hcl:"chroot_env,optional"`
	NetworkInterface       *string              `hcl:"network_interface,optional"`
	NetworkSpeed           *int                 `hcl:"network_speed,optional"`
	CPUTotalCompute        *int                 `hcl:"cpu_total_compute,optional"`
	CPUDisableDmidecode    *bool                `hcl:"cpu_disable_dmidecode,optional"`
	MemoryTotalMB          *int                 `hcl:"memory_total_mb,optional"`
	DiskTotalMB            *int                 `hcl:"disk_total_mb,optional"`
	DiskFreeMB             *int                 `hcl:"disk_free_mb,optional"`
	ReservableCores        *string              `hcl:"reservable_cores,optional" effect:"none"`
	NodeMaxAllocs          *int                 `hcl:"node_max_allocs,optional" effect:"none"`
	MaxKillTimeout         *string              `hcl:"max_kill_timeout,optional"`
	ClientMinPort          *int                 `hcl:"client_min_port,optional" effect:"none"`
	ClientMaxPort          *int                 `hcl:"client_max_port,optional" effect:"none"`
	MinDynamicPort         *int                 `hcl:"min_dynamic_port,optional"`
	MaxDynamicPort         *int                 `hcl:"max_dynamic_port,optional"`
	GCInterval             *string              `hcl:"gc_interval,optional"`
	GCParallelDestroys     *int                 `hcl:"gc_parallel_destroys,optional" effect:"none"`
	GCDiskUsageThreshold   *float64             `hcl:"gc_disk_usage_threshold,optional" effect:"none"`
	GCInodeUsageThreshold  *float64             `hcl:"gc_inode_usage_threshold,optional" effect:"none"`
	GCMaxAllocs            *int                 `hcl:"gc_max_allocs,optional"`
	GCVolumesOnNodeGC      *bool                `hcl:"gc_volumes_on_node_gc,optional" effect:"none"`
	NoHostUUID             *bool                `hcl:"no_host_uuid,optional"`
	HostVolumePluginDir    *string              `hcl:"host_volume_plugin_dir,optional" effect:"none"`
	HostVolumesDir         *string              `hcl:"host_volumes_dir,optional" effect:"none"`
	CNIPath                *string              `hcl:"cni_path,optional"`
	CNIConfigDir           *string              `hcl:"cni_config_dir,optional"`
	BridgeNetworkName      *string              `hcl:"bridge_network_name,optional"`
	BridgeNetworkSubnet    *string              `hcl:"bridge_network_subnet,optional"`
	BridgeNetworkSubnet6   *string              `hcl:"bridge_network_subnet_ipv6,optional"`
	BridgeNetworkHairpin   *bool                `hcl:"bridge_network_hairpin_mode,optional" effect:"none"`
	CgroupParent           *string              `hcl:"cgroup_parent,optional"`
	ServiceDiscovery       *bool                `hcl:"nomad_service_discovery,optional" effect:"none"`
	PreferredAddressFamily *string              `hcl:"preferred_address_family,optional" effect:"none"`
	DisableRemoteExec      *bool                `hcl:"disable_remote_exec,optional"`
	IntroToken             *nomadish.SecretText `hcl:"intro_token,optional"`
	Reserved               *ReservedFile        `hcl:"reserved,block"`
	HostVolumes            []*HostVolumeFile    `hcl:"host_volume,block"`
	HostNetworks           []*HostNetworkFile   `hcl:"host_network,block"`
	ServerJoin             *ClientJoinFile      `hcl:"server_join,block"`
	Template               *Elsewhere           `hcl:"template,block" effect:"none"`
	Artifact               *ArtifactFile        `hcl:"artifact,block"`
	DrainOnShutdown        *DrainFile           `hcl:"drain_on_shutdown,block"`
	Users                  *Elsewhere           `hcl:"users,block" effect:"none"`
	Fingerprint            []*FingerprintFile   `hcl:"fingerprint,block" effect:"none"`
}

// ArtifactFile bounds what tasks have fetched.
type ArtifactFile struct {
	HTTPReadTimeout         *string  `hcl:"http_read_timeout,optional"`
	HTTPMaxSize             *string  `hcl:"http_max_size,optional"`
	GCSTimeout              *string  `hcl:"gcs_timeout,optional" effect:"none"`
	GitTimeout              *string  `hcl:"git_timeout,optional" effect:"none"`
	HgTimeout               *string  `hcl:"hg_timeout,optional" effect:"none"`
	S3Timeout               *string  `hcl:"s3_timeout,optional" effect:"none"`
	FileCountLimit          *int     `hcl:"decompression_file_count_limit,optional"`
	SizeLimit               *string  `hcl:"decompression_size_limit,optional"`
	DisableIsolation        *bool    `hcl:"disable_filesystem_isolation,optional" effect:"none"`
	IsolationExtraPaths     []string `hcl:"filesystem_isolation_extra_paths,optional" effect:"none"`
	DisableInspection       *bool    `hcl:"disable_artifact_inspection,optional" effect:"none"`
	SetEnvironmentVariables *string  `hcl:"set_environment_variables,optional" effect:"none"`
}

// ClientJoinFile is the server_join block of a client.
type ClientJoinFile struct {
	RetryJoin     []string `hcl:"retry_join,optional"`
	StartJoin     []string `hcl:"start_join,optional"`
	RetryMax      *int     `hcl:"retry_max,optional"`
	RetryInterval *string  `hcl:"retry_interval,optional"`
}

// ServerJoinFile is the server_join block of a server.
type ServerJoinFile struct {
	RetryJoin     []string `hcl:"retry_join,optional"`
	StartJoin     []string `hcl:"start_join,optional"`
	RetryMax      *int     `hcl:"retry_max,optional"`
	RetryInterval *string  `hcl:"retry_interval,optional"`
}

// ReservedFile is what of the node tasks may not have.
type ReservedFile struct {
	CPU           *int    `hcl:"cpu,optional"`
	Cores         *string `hcl:"cores,optional" effect:"none"`
	Memory        *int    `hcl:"memory,optional"`
	Disk          *int    `hcl:"disk,optional"`
	ReservedPorts *string `hcl:"reserved_ports,optional"`
}

// HostVolumeFile is a directory of the node that jobs may mount.
type HostVolumeFile struct {
	Name     string  `hcl:"name,label"`
	Path     *string `hcl:"path,optional"`
	ReadOnly *bool   `hcl:"read_only,optional"`
}

// HostNetworkFile is a named network of the node.
type HostNetworkFile struct {
	Name          string  `hcl:"name,label"`
	CIDR          *string `hcl:"cidr,optional"`
	Interface     *string `hcl:"interface,optional"`
	ReservedPorts *string `hcl:"reserved_ports,optional"`
}

// FingerprintFile is a fingerprint block.
type FingerprintFile struct {
	Name string   `hcl:"name,label"`
	Body hcl.Body `hcl:",remain"`
}

// ACLFile is the acl block.
type ACLFile struct {
	Enabled               *bool                `hcl:"enabled,optional"`
	TokenMinExpirationTTL *string              `hcl:"token_min_expiration_ttl,optional"`
	TokenMaxExpirationTTL *string              `hcl:"token_max_expiration_ttl,optional"`
	ReplicationToken      *nomadish.SecretText `hcl:"replication_token,optional"`

	// How long an agent may remember what it has heard of tokens, policies and roles: it is
	// never as long as anybody sets.
	TokenTTL  *string `hcl:"token_ttl,optional"`
	PolicyTTL *string `hcl:"policy_ttl,optional"`
	RoleTTL   *string `hcl:"role_ttl,optional"`
}

// TelemetryFile is the telemetry block.
type TelemetryFile struct {
	PrometheusMetrics        *bool    `hcl:"prometheus_metrics,optional"`
	PublishAllocationMetrics *bool    `hcl:"publish_allocation_metrics,optional"`
	PublishNodeMetrics       *bool    `hcl:"publish_node_metrics,optional"`
	DisableHostname          *bool    `hcl:"disable_hostname,optional"`
	CollectionInterval       *string  `hcl:"collection_interval,optional"`
	Body                     hcl.Body `hcl:",remain"`
}

// LimitsFile is the limits block.
type LimitsFile struct {
	HTTPSHandshakeTimeout *string `hcl:"https_handshake_timeout,optional" effect:"none"`
	HTTPMaxConnsPerClient *int    `hcl:"http_max_conns_per_client,optional"`
	RPCHandshakeTimeout   *string `hcl:"rpc_handshake_timeout,optional" effect:"none"`
	RPCMaxConnsPerClient  *int    `hcl:"rpc_max_conns_per_client,optional"`

	// Ours: requests a second, 0 without a limit.
	HTTPRequestsPerAddress *float64 `hcl:"http_requests_per_address,optional"`
	HTTPRequestsPerToken   *float64 `hcl:"http_requests_per_token,optional"`
	HTTPMaxImageBytes      *int64   `hcl:"http_max_image_bytes,optional"` // of an archive that image load sends
}

// PluginFile is a plugin block.
type PluginFile struct {
	Name   string        `hcl:"name,label"`
	Args   []string      `hcl:"args,optional" effect:"none"`
	Config *PluginConfig `hcl:"config,block"`
}

// PluginConfig is a plugin's own configuration.
type PluginConfig struct {
	Body hcl.Body `hcl:",remain"`
}
