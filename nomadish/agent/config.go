package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/audit"
	"github.com/nomadish/nomadish/nomadish/discovery"
	"github.com/nomadish/nomadish/nomadish/httpapi"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/gossip"
)

// Ports of Nomad's agents, which are ours too.
const (
	DefaultHTTPPort = 4646
	DefaultRPCPort  = 4647
	DefaultSerfPort = gossip.DefaultPort
)

// Config is what an agent is made of. The zero value is an agent that does nothing: name
// what it is to be with Server and Client, and where it listens, if anywhere.
type Config struct {
	Name       string // default: the host's name
	Region     string // default global
	Datacenter string // default dc1
	DataDir    string // required; one agent at a time uses it

	Server *server.Config // a server, unless nil; ID, Dir, Region, Now and Logger come from here
	Client *client.Config // a client node, unless nil; name, places, drivers, Now and Logger come from here

	// Servers are the addresses (host:port) of servers that a client node without a server in
	// its own agent talks to.
	Servers []string
	// Seek says how such an agent looks for others.
	Seek SeekConfig
	// Discovery finds the addresses of servers where the configuration has questions in their place; default:
	// it runs programs, and asks no providers.
	Discovery *discovery.Finder
	// DrainAtEnd empties the client node before its agent ends; nil: its tasks run on.
	DrainAtEnd *DrainAtEnd
	// IntroToken introduces the client node to servers that do not know it.
	IntroToken nomadish.SecretText
	// Drivers run the client's tasks, by the name that jobs use.
	Drivers map[string]drivers.Driver
	// Parts run as long as the agent does, and longer than its client: what drivers need.
	Parts []lifecycle.Part

	HTTP      []string // host:port to serve the API on; none: no socket
	RPC       string   // host:port for other agents; empty: no socket
	Advertise string   // host:port at which others reach HTTP; default: the first of HTTP
	// AdvertiseRPC is the host:port at which other agents reach RPC; default: what it is bound to.
	AdvertiseRPC string
	// Pool says how a server finds others; nil: it is a cluster of its own. It needs RPC.
	Pool      *PoolConfig
	MaxConns  int                  // connections of one address to HTTP; default 100, negative: no limit
	Hosts     []string             // names, besides addresses, under which HTTP may be asked; default: any, but localhost and Name where it listens on loopback alone
	Headers   map[string]string    // of every answer of HTTP, besides those that it has
	MaxImages int64                // bytes of an archive of images that HTTP takes; default 32 GiB
	Rates     httpapi.Rates        // how many requests HTTP takes of whom
	TLS       *transport.TLSConfig // encrypts HTTP; nil: it is not
	PeerTLS   *PeerTLS             // encrypts RPC; nil: it is not
	Audit     *audit.Config        // keeps a log of requests; nil: none is kept. Now and Logger come from here
	ACL       bool                 // requests need tokens; with more settings in Server.ACL
	Telemetry Telemetry
	// ReplicationToken is a management token of the authoritative region, Server.Authoritative, with
	// which servers of another one replicate what all regions share.
	ReplicationToken nomadish.SecretText
	Debug            bool // show profiles of the agent and what its machine is

	Version string           // of the program
	Show    map[string]any   // what /v1/agent/self shows besides, by Nomad's names
	Now     func() time.Time // wall clock; default time.Now
	// Logger is told what goes on; default: discard. One whose handler is a Monitor lets who
	// reads the log over the API see also what is logged outside of the agent.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("agent: the host's name: %w", err)
		}
		c.Name = name
	}
	c.Region = cmp.Or(c.Region, nomadish.DefaultRegion)
	c.Datacenter = cmp.Or(c.Datacenter, "dc1")
	c.Version = cmp.Or(c.Version, "dev")
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.DataDir == "" {
		return c, errors.New("agent: data_dir: must be set")
	}
	if c.Server == nil && c.Client == nil {
		return c, errors.New("agent: neither server nor client is enabled")
	}
	if c.Server != nil && c.Pool != nil && c.RPC == "" {
		return c, errors.New("agent: a server that others are to find needs an address for other agents (RPC)")
	}
	if c.Server == nil && len(c.Servers)+len(c.Seek.Questions) == 0 {
		return c, errors.New("agent: client.servers: must be set on an agent that is no server")
	}
	c.Discovery = cmp.Or(c.Discovery, &discovery.Finder{})
	return c, c.checkQuestions()
}

// Config turns what files say into a Config. What the program decides by itself (drivers,
// logger, version) is left to the caller.
func (f *File) Config() (Config, error) {
	r := reading{}
	c := Config{
		Name: nomadish.Val(f.Name), Region: nomadish.Val(f.Region), Datacenter: nomadish.Val(f.Datacenter),
		DataDir: nomadish.Val(f.DataDir),
	}
	if f.TLS != nil {
		c.TLS, c.PeerTLS = f.TLS.config(&r)
	}
	if f.Audit != nil {
		c.Audit = f.Audit.config(&r, c.DataDir)
	}
	var tokens endpoint.ACLConfig
	if f.ACL != nil {
		c.ACL = nomadish.Val(f.ACL.Enabled)
		c.ReplicationToken = nomadish.Val(f.ACL.ReplicationToken)
		tokens = f.ACL.config(&r)
	}
	f.listeners(&r, &c)
	if f.Limits != nil && f.Limits.HTTPMaxConnsPerClient != nil {
		if c.MaxConns = *f.Limits.HTTPMaxConnsPerClient; c.MaxConns == 0 {
			c.MaxConns = -1
		}
	}
	if f.Limits != nil {
		c.Rates = f.Limits.rates()
		if c.MaxImages = nomadish.Val(f.Limits.HTTPMaxImageBytes); c.MaxImages < 0 {
			r.fail("limits.http_max_image_bytes: must not be negative")
		}
	}
	c.Hosts, c.Headers = f.HTTPHosts, f.HTTPAPIResponseHeaders
	c.Debug = nomadish.Val(f.EnableDebug)
	if f.Telemetry != nil {
		c.Telemetry = f.Telemetry.config(&r)
	}
	if f.Server != nil && nomadish.Val(f.Server.Enabled) {
		c.Server = f.Server.config(&r)
		c.Server.ACL = tokens
		c.Server.Keyring.Wrappers = f.wrappers(&r)
		c.Pool = f.pool(&r)
	}
	if f.Client != nil && nomadish.Val(f.Client.Enabled) {
		c.Client = f.Client.config(&r)
		c.Servers, c.Seek = f.Client.servers(&r)
		c.DrainAtEnd = f.drain(&r)
		c.IntroToken = nomadish.Val(f.Client.IntroToken)
	}
	return c, errors.Join(r.errs...)
}

// config says how long tokens may live.
func (a *ACLFile) config(r *reading) endpoint.ACLConfig {
	r.duration("acl.token_ttl", a.TokenTTL)
	r.duration("acl.policy_ttl", a.PolicyTTL)
	r.duration("acl.role_ttl", a.RoleTTL)
	c := endpoint.ACLConfig{
		MinTTL: r.duration("acl.token_min_expiration_ttl", a.TokenMinExpirationTTL),
		MaxTTL: r.duration("acl.token_max_expiration_ttl", a.TokenMaxExpirationTTL),
	}
	if c.MinTTL > 0 && c.MaxTTL > 0 && c.MinTTL > c.MaxTTL {
		r.fail("acl.token_min_expiration_ttl: %s is above token_max_expiration_ttl (%s)", c.MinTTL, c.MaxTTL)
	}
	return c
}

// listeners says where to bind, and what to tell others.
func (f *File) listeners(r *reading, c *Config) {
	httpPort, rpcPort := DefaultHTTPPort, DefaultRPCPort
	if p := f.Ports; p != nil {
		httpPort = cmp.Or(nomadish.Val(p.HTTP), httpPort)
		rpcPort = cmp.Or(nomadish.Val(p.RPC), rpcPort)
	}
	bind := cmp.Or(r.address("bind_addr", f.BindAddr), "0.0.0.0")
	httpBind, rpcBind := []string{bind}, bind
	if a := f.Addresses; a != nil {
		if addrs := r.addresses("addresses.http", a.HTTP); len(addrs) > 0 {
			httpBind = addrs
		}
		rpcBind = cmp.Or(r.address("addresses.rpc", a.RPC), rpcBind)
	}
	for _, addr := range httpBind {
		c.HTTP = append(c.HTTP, net.JoinHostPort(addr, strconv.Itoa(httpPort)))
	}
	c.RPC = net.JoinHostPort(rpcBind, strconv.Itoa(rpcPort))
	if f.Advertise == nil {
		return
	}
	if addr := r.address("advertise.http", f.Advertise.HTTP); addr != "" {
		c.Advertise = withPort(addr, httpPort)
	}
	if addr := r.address("advertise.rpc", f.Advertise.RPC); addr != "" {
		c.AdvertiseRPC = withPort(addr, rpcPort)
	}
}

func withPort(addr string, port int) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(addr, strconv.Itoa(port))
}

// reading collects what is wrong in a file's values, each under its key.
type reading struct{ errs []error }

func (r *reading) fail(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

func (r *reading) duration(key string, text *string) time.Duration {
	if text == nil {
		return 0
	}
	d, err := time.ParseDuration(*text)
	if err != nil || d < 0 {
		r.fail("%s: %q is no duration such as \"30s\"", key, *text)
	}
	return d
}

func (t *TelemetryFile) config(r *reading) Telemetry {
	return Telemetry{
		Prometheus: nomadish.Val(t.PrometheusMetrics), AllocationMetrics: nomadish.Val(t.PublishAllocationMetrics),
		NodeMetrics: nomadish.Val(t.PublishNodeMetrics), HostLabel: t.DisableHostname != nil && !*t.DisableHostname,
		Interval: r.duration("telemetry.collection_interval", t.CollectionInterval),
	}
}

func (s *ServerFile) config(r *reading) *server.Config {
	c := &server.Config{Authoritative: nomadish.Val(s.AuthoritativeRegion)}
	c.Consensus.SnapshotThreshold = uint64(max(0, nomadish.Val(s.RaftSnapshotThreshold)))
	c.Consensus.SnapshotInterval = r.duration("server.raft_snapshot_interval", s.RaftSnapshotInterval)
	c.Levels.Settle = r.duration("server.raise_level_after", s.RaiseLevelAfter)
	c.Consensus.TrailingEntries = uint64(max(0, nomadish.Val(s.RaftTrailingLogs)))
	if m := nomadish.Val(s.RaftMultiplier); m < 0 || m > 10 {
		r.fail("server.raft_multiplier: want 1 to 10, got %d", m)
	} else if m > 1 {
		c.Consensus.HeartbeatTimeout = time.Duration(m) * 300 * time.Millisecond
	}
	if s.ClientIntroduction != nil {
		c.Introduction = s.ClientIntroduction.config(r)
	}
	if s.Snapshots != nil {
		c.Snapshots = s.Snapshots.config(r)
	}
	c.Evals.Workers = max(0, nomadish.Val(s.NumSchedulers))
	c.GC.Every = r.duration("server.job_gc_interval", s.JobGCInterval)
	c.GC.Thresholds.Job = r.duration("server.job_gc_threshold", s.JobGCThreshold)
	c.GC.Thresholds.Eval = r.duration("server.eval_gc_threshold", s.EvalGCThreshold)
	c.GC.Thresholds.BatchEval = r.duration("server.batch_eval_gc_threshold", s.BatchEvalGCThreshold)
	c.GC.Thresholds.Node = r.duration("server.node_gc_threshold", s.NodeGCThreshold)
	c.GC.Thresholds.Token = r.duration("server.acl_token_gc_threshold", s.ACLTokenGCThreshold)
	c.Liveness.Grace = r.duration("server.heartbeat_grace", s.HeartbeatGrace)
	c.Liveness.MinTTL = r.duration("server.min_heartbeat_ttl", s.MinHeartbeatTTL)
	c.Liveness.Failover = r.duration("server.failover_heartbeat_ttl", s.FailoverHeartbeatTTL)
	c.Liveness.PerSec = nomadish.Val(s.MaxHeartbeatsPerSecond)
	c.Events.Backlog = max(0, nomadish.Val(s.EventBufferSize))
	c.Keyring, c.Issuer = s.keyring(r), nomadish.Val(s.OIDCIssuer)
	return c
}

// servers lists the servers that a client is told of, the port added where it lacks, and says how it looks
// for others.
func (c *ClientFile) servers(r *reading) (addrs []string, seek SeekConfig) {
	names := c.Servers
	if j := c.ServerJoin; j != nil {
		names = slices.Concat(names, j.RetryJoin, j.StartJoin)
		seek.Max, seek.Interval = nomadish.Val(j.RetryMax), r.duration("client.server_join.retry_interval", j.RetryInterval)
		if seek.Max < 0 {
			r.fail("client.server_join.retry_max: must not be negative")
		}
	}
	for _, name := range names {
		if discovery.Is(name) {
			seek.Questions = append(seek.Questions, name)
			continue
		}
		addrs = append(addrs, withPort(name, DefaultRPCPort))
	}
	return addrs, seek
}

func (c *ClientFile) config(r *reading) *client.Config {
	out := &client.Config{
		NodeClass: nomadish.Val(c.NodeClass), NodePool: nomadish.Val(c.NodePool), Meta: c.Meta,
		CgroupParent:   strings.TrimSuffix(nomadish.Val(c.CgroupParent), ".slice"),
		MaxKillTimeout: r.duration("client.max_kill_timeout", c.MaxKillTimeout),
		GCInterval:     r.duration("client.gc_interval", c.GCInterval),
		GCMaxAllocs:    nomadish.Val(c.GCMaxAllocs),
		DisableExec:    nomadish.Val(c.DisableRemoteExec),
		Artifact:       c.Artifact.config(r),
	}
	f := &out.Fingerprint
	f.NetworkInterface, f.NetworkSpeed = r.address("client.network_interface", c.NetworkInterface), nomadish.Val(c.NetworkSpeed)
	f.CPUTotalMHz, f.MemoryTotalMB = int64(nomadish.Val(c.CPUTotalCompute)), int64(nomadish.Val(c.MemoryTotalMB))
	f.DiskTotalMB, f.DiskFreeMB = int64(nomadish.Val(c.DiskTotalMB)), int64(nomadish.Val(c.DiskFreeMB))
	f.MinDynamicPort, f.MaxDynamicPort = nomadish.Val(c.MinDynamicPort), nomadish.Val(c.MaxDynamicPort)
	c.networks(r, out)
	c.denied(out)
	if res := c.Reserved; res != nil {
		out.Reserved = &nomadish.NodeReservedResources{
			Cpu:      nomadish.NodeReservedCpuResources{CpuShares: uint64(max(0, nomadish.Val(res.CPU)))},
			Memory:   nomadish.NodeReservedMemoryResources{MemoryMB: uint64(max(0, nomadish.Val(res.Memory)))},
			Disk:     nomadish.NodeReservedDiskResources{DiskMB: uint64(max(0, nomadish.Val(res.Disk)))},
			Networks: nomadish.NodeReservedNetworkResources{ReservedHostPorts: nomadish.Val(res.ReservedPorts)},
		}
	}
	for _, v := range c.HostVolumes {
		if nomadish.Val(v.Path) == "" {
			r.fail("client.host_volume %q: path: must be set", v.Name)
			continue
		}
		if out.HostVolumes == nil {
			out.HostVolumes = map[string]*nomadish.HostVolumeInfo{}
		}
		out.HostVolumes[v.Name] = &nomadish.HostVolumeInfo{Name: v.Name, Path: *v.Path, ReadOnly: nomadish.Val(v.ReadOnly)}
	}
	return out
}
