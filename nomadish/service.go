package nomadish

import "time"

// Service is an address that others may find by name, with its health.
type Service struct {
	// Default job-group, and for a task job-group-task. ${JOB}, ${TASKGROUP}, ${TASK} and ${BASE}
	// are filled in on admission, all else on the node.
	Name string `hcl:"name,optional" diff:",key"`
	// Tags, and those that canaries have instead.
	Tags              []string `hcl:"tags,optional"`
	CanaryTags        []string `hcl:"canary_tags,optional"`
	EnableTagOverride bool     `hcl:"enable_tag_override,optional"`
	// The port, by label or number; and whose address: AddressMode is auto (default), host,
	// driver or alloc.
	PortLabel   string `hcl:"port,optional"`
	AddressMode string `hcl:"address_mode,optional"`
	Address     string `hcl:"address,optional"`
	// Checks; CheckRestart is inherited by them.
	Checks          []ServiceCheck    `hcl:"check,block"`
	CheckRestart    *CheckRestart     `hcl:"check_restart,block" stored:"-" diff:"-"`
	Connect         *ConsulConnect    `hcl:"connect,block" diff:"ConsulConnect"`
	Meta            map[string]string `hcl:"meta,block"`
	CanaryMeta      map[string]string `hcl:"canary_meta,block"`
	TaggedAddresses map[string]string `hcl:"tagged_addresses,block"`
	// The task that the service belongs to.
	TaskName string `hcl:"task,optional"`
	// What a deployment demands of the checks; default require_healthy.
	OnUpdate string            `hcl:"on_update,optional"`
	Identity *WorkloadIdentity `hcl:"identity,block"`
	Weights  *ServiceWeights   `hcl:"weights,block"`
	// Who registers it: consul (default) or nomad; and which cluster.
	Provider string `hcl:"provider,optional"`
	Cluster  string `hcl:"cluster,optional"`
	Kind     string `hcl:"kind,optional"`
	// Set on admission.
	Namespace string `stored:"only"`
}

// ServiceCheck asks a service how it is: Type is http, tcp, grpc or script. Interval and
// Timeout are at least 1s.
type ServiceCheck struct {
	Name    string   `hcl:"name,optional" diff:",key"`
	Type    string   `hcl:"type,optional"`
	Command string   `hcl:"command,optional"`
	Args    []string `hcl:"args,optional"`
	// For http: Path, Protocol (http or https), Method, Header and Body. For script: Command and
	// Args, in the task TaskName.
	Path      string `hcl:"path,optional"`
	Protocol  string `hcl:"protocol,optional"`
	PortLabel string `hcl:"port,optional"`
	// Expose lets the check through the service mesh's proxy.
	Expose                 bool                `hcl:"expose,optional"`
	AddressMode            string              `hcl:"address_mode,optional"`
	Advertise              string              `hcl:"advertise,optional" stored:"-" diff:"-"`
	Interval               time.Duration       `hcl:"interval,optional"`
	Timeout                time.Duration       `hcl:"timeout,optional"`
	InitialStatus          string              `hcl:"initial_status,optional"`
	Notes                  string              `hcl:"notes,optional"`
	TLSServerName          string              `hcl:"tls_server_name,optional"`
	TLSSkipVerify          bool                `hcl:"tls_skip_verify,optional"`
	Header                 map[string][]string `hcl:"header,block"`
	Method                 string              `hcl:"method,optional"`
	CheckRestart           *CheckRestart       `hcl:"check_restart,block"`
	GRPCService            string              `hcl:"grpc_service,optional"`
	GRPCUseTLS             bool                `hcl:"grpc_use_tls,optional"`
	TaskName               string              `hcl:"task,optional"`
	SuccessBeforePassing   int                 `hcl:"success_before_passing,optional"`
	FailuresBeforeCritical int                 `hcl:"failures_before_critical,optional"`
	FailuresBeforeWarning  int                 `hcl:"failures_before_warning,optional"`
	Body                   string              `hcl:"body,optional"`
	OnUpdate               string              `hcl:"on_update,optional"`
}

// CheckRestart restarts the task after Limit failed checks in a row (0: never), of which none
// counts within Grace (default 1s) after a start.
type CheckRestart struct {
	Limit          int            `hcl:"limit,optional"`
	Grace          *time.Duration `hcl:"grace,optional"`
	IgnoreWarnings bool           `hcl:"ignore_warnings,optional"`
}

// ServiceWeights are the service's weights in answers of DNS, default 1.
type ServiceWeights struct {
	Passing int `hcl:"passing,optional"`
	Warning int `hcl:"warning,optional"`
}
