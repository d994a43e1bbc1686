package nomadish

import "time"

// ConsulConnect takes a service into Consul's service mesh: the task speaks its protocol itself
// (Native), a proxy beside it does (SidecarService, SidecarTask), or it is a Gateway.
type ConsulConnect struct {
	Native         bool                  `hcl:"native,optional"`
	Gateway        *ConsulGateway        `hcl:"gateway,block"`
	SidecarService *ConsulSidecarService `hcl:"sidecar_service,block"`
	SidecarTask    *SidecarTask          `hcl:"sidecar_task,block"`
}

// ConsulSidecarService is the service of the proxy.
type ConsulSidecarService struct {
	Tags                   []string          `hcl:"tags,optional"`
	Port                   string            `hcl:"port,optional"`
	Proxy                  *ConsulProxy      `hcl:"proxy,block" diff:"ConsulProxy"`
	DisableDefaultTCPCheck bool              `hcl:"disable_default_tcp_check,optional"`
	Meta                   map[string]string `hcl:"meta,block"`
}

// ConsulProxy configures the proxy.
type ConsulProxy struct {
	LocalServiceAddress string              `hcl:"local_service_address,optional"`
	LocalServicePort    int                 `hcl:"local_service_port,optional"`
	Expose              *ConsulExposeConfig `hcl:"expose,block"`
	// Another name of Expose; normalized away.
	ExposeConfig     *ConsulExposeConfig     `stored:"-" diff:"-"`
	Upstreams        []*ConsulUpstream       `hcl:"upstreams,block" diff:"ConsulUpstreams"`
	TransparentProxy *ConsulTransparentProxy `hcl:"transparent_proxy,block"`
	Config           map[string]any          `hcl:"config,block"`
}

// ConsulMeshGateway says which way to other datacenters: local, remote or none.
type ConsulMeshGateway struct {
	Mode string `hcl:"mode,optional"`
}

// ConsulUpstream is another service, which the proxy offers on a local port or socket.
type ConsulUpstream struct {
	DestinationName      string             `hcl:"destination_name,optional" diff:",key"`
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

// ConsulTransparentProxy leads all traffic of the group through the proxy.
type ConsulTransparentProxy struct {
	UID                  string   `hcl:"uid,optional"`
	OutboundPort         uint16   `hcl:"outbound_port,optional"`
	ExcludeInboundPorts  []string `hcl:"exclude_inbound_ports,optional"`
	ExcludeOutboundPorts []uint16 `hcl:"exclude_outbound_ports,optional"`
	ExcludeOutboundCIDRs []string `hcl:"exclude_outbound_cidrs,optional"`
	ExcludeUIDs          []string `hcl:"exclude_uids,optional"`
	NoDNS                bool     `hcl:"no_dns,optional"`
}

// ConsulExposeConfig lists paths that are reached past the mesh.
type ConsulExposeConfig struct {
	Paths []*ConsulExposePath `hcl:"path,block"`
	// Another name of Paths; normalized away.
	Path []*ConsulExposePath `stored:"-" diff:"-"`
}

// ConsulExposePath leads from a port of the group (ListenerPort, a label) to a path of the
// service.
type ConsulExposePath struct {
	Path          string `hcl:"path,optional"`
	Protocol      string `hcl:"protocol,optional"`
	LocalPathPort int    `hcl:"local_path_port,optional"`
	ListenerPort  string `hcl:"listener_port,optional"`
}

// ConsulGateway makes the service an entry to the mesh (Ingress), an exit from it (Terminating),
// or a way between datacenters (Mesh).
type ConsulGateway struct {
	Proxy       *ConsulGatewayProxy           `hcl:"proxy,block"`
	Ingress     *ConsulIngressConfigEntry     `hcl:"ingress,block"`
	Terminating *ConsulTerminatingConfigEntry `hcl:"terminating,block"`
	Mesh        *ConsulMeshConfigEntry        `hcl:"mesh,block"`
}

// ConsulGatewayBindAddress is an address on which a gateway listens.
type ConsulGatewayBindAddress struct {
	Name    string `hcl:",label"`
	Address string `hcl:"address,optional"`
	Port    int    `hcl:"port,optional"`
}

// ConsulGatewayProxy configures the gateway's proxy. ConnectTimeout is by default 5s.
type ConsulGatewayProxy struct {
	ConnectTimeout                  *time.Duration                       `hcl:"connect_timeout,optional"`
	EnvoyGatewayBindTaggedAddresses bool                                 `hcl:"envoy_gateway_bind_tagged_addresses,optional"`
	EnvoyGatewayBindAddresses       map[string]*ConsulGatewayBindAddress `hcl:"envoy_gateway_bind_addresses,block"`
	EnvoyGatewayNoDefaultBind       bool                                 `hcl:"envoy_gateway_no_default_bind,optional"`
	EnvoyDNSDiscoveryType           string                               `hcl:"envoy_dns_discovery_type,optional"`
	Config                          map[string]any                       `hcl:"config,block"`
}

// ConsulGatewayTLSSDSConfig names where certificates are fetched.
type ConsulGatewayTLSSDSConfig struct {
	ClusterName  string `hcl:"cluster_name,optional"`
	CertResource string `hcl:"cert_resource,optional"`
}

// ConsulGatewayTLSConfig says how a gateway speaks TLS.
type ConsulGatewayTLSConfig struct {
	Enabled       bool                       `hcl:"enabled,optional"`
	TLSMinVersion string                     `hcl:"tls_min_version,optional"`
	TLSMaxVersion string                     `hcl:"tls_max_version,optional"`
	CipherSuites  []string                   `hcl:"cipher_suites,optional"`
	SDS           *ConsulGatewayTLSSDSConfig `hcl:"sds,block"`
}

// ConsulHTTPHeaderModifiers changes headers on the way.
type ConsulHTTPHeaderModifiers struct {
	Add    map[string]string `hcl:"add,block"`
	Set    map[string]string `hcl:"set,block"`
	Remove []string          `hcl:"remove,optional"`
}

// ConsulIngressService is a service that an ingress gateway offers.
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

// ConsulIngressListener is a port of an ingress gateway. Protocol is by default tcp.
type ConsulIngressListener struct {
	Port     int                     `hcl:"port,optional"`
	Protocol string                  `hcl:"protocol,optional"`
	Services []*ConsulIngressService `hcl:"service,block"`
}

// ConsulIngressConfigEntry configures an ingress gateway.
type ConsulIngressConfigEntry struct {
	TLS       *ConsulGatewayTLSConfig  `hcl:"tls,block"`
	Listeners []*ConsulIngressListener `hcl:"listener,block"`
}

// ConsulLinkedService is a service outside the mesh.
type ConsulLinkedService struct {
	Name     string `hcl:"name,optional"`
	CAFile   string `hcl:"ca_file,optional"`
	CertFile string `hcl:"cert_file,optional"`
	KeyFile  string `hcl:"key_file,optional"`
	SNI      string `hcl:"sni,optional"`
}

// ConsulTerminatingConfigEntry configures a terminating gateway.
type ConsulTerminatingConfigEntry struct {
	Services []*ConsulLinkedService `hcl:"service,block"`
}

// ConsulMeshConfigEntry configures a mesh gateway; it has no options.
type ConsulMeshConfigEntry struct{}

// SidecarTask overrides what the injected task of a proxy or gateway is by default.
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
