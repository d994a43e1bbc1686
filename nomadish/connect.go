package nomadish

import "time"

type ConsulConnect struct {
	Native         bool                  `hcl:"native,optional"`
	Gateway        *ConsulGateway        `hcl:"gateway,block"`
	SidecarService *ConsulSidecarService `hcl:"sidecar_service,block"`
	SidecarTask    *SidecarTask          `hcl:"sidecar_task,block"`
}

type ConsulSidecarService struct {
	Tags                   []string          `hcl:"tags,optional"`
	Port                   string            `hcl:"port,optional"`
	Proxy                  *ConsulProxy      `hcl:"proxy,block"`
	DisableDefaultTCPCheck bool              `hcl:"disable_default_tcp_check,optional"`
	Meta                   map[string]string `hcl:"meta,block"`
}

type ConsulProxy struct {
	LocalServiceAddress string                  `hcl:"local_service_address,optional"`
	LocalServicePort    int                     `hcl:"local_service_port,optional"`
	Expose              *ConsulExposeConfig     `hcl:"expose,block"`
	ExposeConfig        *ConsulExposeConfig     `stored:"-"`
	Upstreams           []*ConsulUpstream       `hcl:"upstreams,block"`
	TransparentProxy    *ConsulTransparentProxy `hcl:"transparent_proxy,block"`
	Config              map[string]any          `hcl:"config,block"`
}

type ConsulMeshGateway struct {
	Mode string `hcl:"mode,optional"`
}

type ConsulUpstream struct {
	DestinationName      string             `hcl:"destination_name,optional"`
	DestinationNamespace string             `hcl:"destination_namespace,optional"`
	DestinationPeer      string             `hcl:"destination_peer,optional"`
	DestinationPartition string             `hcl:"destination_partition,optional"`
	DestinationType      string             `hcl:"destination_type,optional"`
	LocalBindPort        int                `hcl:"local_bind_port,optional"`
	Datacenter           string             `hcl:"datacenter,optional"`
	LocalBindAddress     string             `hcl:"local_bind_address,optional"`
	LocalBindSocketPath  string             `hcl:"local_bind_socket_path,optional"`
	LocalBindSocketMode  string             `hcl:"local_bind_socket_mode,optional"`
	MeshGateway          *ConsulMeshGateway `hcl:"mesh_gateway,block"`
	Config               map[string]any     `hcl:"config,block"`
}

type ConsulTransparentProxy struct {
	UID                  string   `hcl:"uid,optional"`
	OutboundPort         uint16   `hcl:"outbound_port,optional"`
	ExcludeInboundPorts  []string `hcl:"exclude_inbound_ports,optional"`
	ExcludeOutboundPorts []uint16 `hcl:"exclude_outbound_ports,optional"`
	ExcludeOutboundCIDRs []string `hcl:"exclude_outbound_cidrs,optional"`
	ExcludeUIDs          []string `hcl:"exclude_uids,optional"`
	NoDNS                bool     `hcl:"no_dns,optional"`
}

type ConsulExposeConfig struct {
	Paths []*ConsulExposePath `hcl:"path,block"`
	Path  []*ConsulExposePath `stored:"-"`
}

type ConsulExposePath struct {
	Path          string `hcl:"path,optional"`
	Protocol      string `hcl:"protocol,optional"`
	LocalPathPort int    `hcl:"local_path_port,optional"`
	ListenerPort  string `hcl:"listener_port,optional"`
}

type ConsulGateway struct {
	Proxy       *ConsulGatewayProxy           `hcl:"proxy,block"`
	Ingress     *ConsulIngressConfigEntry     `hcl:"ingress,block"`
	Terminating *ConsulTerminatingConfigEntry `hcl:"terminating,block"`
	Mesh        *ConsulMeshConfigEntry        `hcl:"mesh,block"`
}

type ConsulGatewayBindAddress struct {
	Name    string `hcl:",label"`
	Address string `hcl:"address,optional"`
	Port    int    `hcl:"port,optional"`
}

type ConsulGatewayProxy struct {
	ConnectTimeout                  *time.Duration                       `hcl:"connect_timeout,optional"`
	EnvoyGatewayBindTaggedAddresses bool                                 `hcl:"envoy_gateway_bind_tagged_addresses,optional"`
	EnvoyGatewayBindAddresses       map[string]*ConsulGatewayBindAddress `hcl:"envoy_gateway_bind_addresses,block"`
	EnvoyGatewayNoDefaultBind       bool                                 `hcl:"envoy_gateway_no_default_bind,optional"`
	EnvoyDNSDiscoveryType           string                               `hcl:"envoy_dns_discovery_type,optional"`
	Config                          map[string]any                       `hcl:"config,block"`
}

type ConsulGatewayTLSSDSConfig struct {
	ClusterName  string `hcl:"cluster_name,optional"`
	CertResource string `hcl:"cert_resource,optional"`
}

type ConsulGatewayTLSConfig struct {
	Enabled       bool                       `hcl:"enabled,optional"`
	TLSMinVersion string                     `hcl:"tls_min_version,optional"`
	TLSMaxVersion string                     `hcl:"tls_max_version,optional"`
	CipherSuites  []string                   `hcl:"cipher_suites,optional"`
	SDS           *ConsulGatewayTLSSDSConfig `hcl:"sds,block"`
}

type ConsulHTTPHeaderModifiers struct {
	Add    map[string]string `hcl:"add,block"`
	Set    map[string]string `hcl:"set,block"`
	Remove []string          `hcl:"remove,optional"`
}

type ConsulIngressService struct {
	Name                  string                     `hcl:"name,optional"`
	Hosts                 []string                   `hcl:"hosts,optional"`
	TLS                   *ConsulGatewayTLSConfig    `hcl:"tls,block"`
	RequestHeaders        *ConsulHTTPHeaderModifiers `hcl:"request_headers,block"`
	ResponseHeaders       *ConsulHTTPHeaderModifiers `hcl:"response_headers,block"`
	MaxConnections        *uint32                    `hcl:"max_connections,optional"`
	MaxPendingRequests    *uint32                    `hcl:"max_pending_requests,optional"`
	MaxConcurrentRequests *uint32                    `hcl:"max_concurrent_requests,optional"`
}

type ConsulIngressListener struct {
	Port     int                     `hcl:"port,optional"`
	Protocol string                  `hcl:"protocol,optional"`
	Services []*ConsulIngressService `hcl:"service,block"`
}

type ConsulIngressConfigEntry struct {
	TLS       *ConsulGatewayTLSConfig  `hcl:"tls,block"`
	Listeners []*ConsulIngressListener `hcl:"listener,block"`
}

type ConsulLinkedService struct {
	Name     string `hcl:"name,optional"`
	CAFile   string `hcl:"ca_file,optional"`
	CertFile string `hcl:"cert_file,optional"`
	KeyFile  string `hcl:"key_file,optional"`
	SNI      string `hcl:"sni,optional"`
}

type ConsulTerminatingConfigEntry struct {
	Services []*ConsulLinkedService `hcl:"service,block"`
}

type ConsulMeshConfigEntry struct {
}

type SidecarTask struct {
	Name          string              `hcl:"name,optional"`
	Driver        string              `hcl:"driver,optional"`
	User          string              `hcl:"user,optional"`
	Config        map[string]any      `hcl:"config,block"`
	Env           map[string]string   `hcl:"env,block"`
	Resources     *Resources          `hcl:"resources,block"`
	Meta          map[string]string   `hcl:"meta,block"`
	KillTimeout   *time.Duration      `hcl:"kill_timeout,optional"`
	LogConfig     *LogConfig          `hcl:"logs,block"`
	ShutdownDelay *time.Duration      `hcl:"shutdown_delay,optional"`
	KillSignal    string              `hcl:"kill_signal,optional"`
	VolumeMounts  []*VolumeMount      `hcl:"volume_mount,block"`
	Identities    []*WorkloadIdentity `hcl:"identity,block"`
}
