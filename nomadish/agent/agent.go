// Package agent puts the parts together: a server, a client node, or both, in one process.
// Programs embed it; many agents can live side by side.
//
//	a, err := agent.New(agent.Config{DataDir: dir, Server: &server.Config{}, Client: &client.Config{}, Drivers: drivers})
//	go a.Run(ctx)
//	jobs, _, err := a.Client().Jobs().List(ctx, nil)
//
// Without addresses to listen on no socket is opened: Client calls the API in the process.
package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/audit"
	"github.com/nomadish/nomadish/nomadish/httpapi"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/gossip"
)

// Agent is a server, a client node, or both.
type Agent struct {
	cfg     Config
	lock    *dirLock
	id      string       // of the server, or else of the node
	pool    *gossip.Pool // nil: there is no other server
	hub     *transport.Hub
	http    *transport.Server  // nil: no socket
	tls     *transport.TLS     // of http; nil: it is not encrypted
	peerTLS *transport.PeerTLS // of hub; nil: it is not encrypted

	replicationToken atomic.Pointer[nomadish.SecretText] // shown to the authoritative region
	peer             *api.Client                         // with which this agent asks as itself
	audit            *audit.Log                          // nil: none is kept
	api              *httpapi.API
	server           *server.Server    // nil: none
	client           *client.Client    // nil: none
	link             serverLink        // of the client
	servers          *transport.Choice // that a client without a server in its own agent talks to; nil: none
	metrics          *metrics

	monitors *monitorHub // who reads the log over the API
	started  time.Time
}

// New opens an agent's data and binds its listeners. It starts nothing: an agent that is not
// run must be closed.
func New(cfg Config) (*Agent, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg, err = cfg.managed(); err != nil {
		return nil, err
	}
	var monitors *monitorHub
	cfg.Logger, monitors = monitored(cfg.Logger)
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, lock: lock, monitors: monitors, started: cfg.Now()}
	a.SetReplicationToken(cfg.ReplicationToken)
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// open makes the parts. Listeners come first: a port that is taken is the commonest fault.
func (a *Agent) open() (err error) {
	if a.id, err = serverID(a.cfg); err != nil {
		return err
	}
	if err := a.checkOwn(); err != nil {
		return err
	}
	if a.http, err = a.listen(); err != nil {
		return err
	}
	if a.cfg.Audit != nil {
		c := *a.cfg.Audit
		c.Now, c.Logger = a.cfg.Now, a.cfg.Logger
		if a.audit, err = audit.Open(c); err != nil {
			return err
		}
	}
	for _, part := range []func() error{a.newPeerTLS, a.newClient, a.newHub, a.newChoice, a.newPool, a.newServer, a.connectClient} {
		if err := part(); err != nil {
			return err
		}
	}
	a.metrics = newMetrics(a)
	a.api, err = httpapi.New(httpapi.Config{
		Name: a.cfg.Name, Region: a.cfg.Region, Authoritative: a.authoritative(), Hosts: a.hosts(), Headers: a.cfg.Headers, Rates: a.cfg.Rates, MaxImages: a.cfg.MaxImages,
		Now: a.cfg.Now, Logger: a.cfg.Logger,
	}, a.backends())
	return err
}

// ServeHTTP answers the API's requests.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	a.api.ServeHTTP(w, r)
	took := time.Since(begin)
	a.metrics.request(took)
	a.logRequest(r.Method, r.URL.Path, took)
}

func (a *Agent) listen() (*transport.Server, error) {
	if len(a.cfg.HTTP) == 0 {
		return nil, nil
	}
	if a.cfg.TLS != nil {
		var err error
		if a.tls, err = transport.LoadTLS(*a.cfg.TLS); err != nil {
			return nil, err
		}
	}
	return transport.Listen(transport.ServerConfig{
		Addrs: a.cfg.HTTP, TLS: a.tls, Limits: transport.Limits{MaxConnsPerAddr: a.cfg.MaxConns}, Logger: a.cfg.Logger,
	}, a)
}

// hosts lists the names under which the API may be asked; none: any. An agent that is for this
// machine alone answers to no other name, which somebody could have pointed here.
func (a *Agent) hosts() []string {
	if len(a.cfg.Hosts) > 0 || a.http == nil {
		return a.cfg.Hosts
	}
	for _, addr := range a.http.Addrs() {
		if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
			return nil
		}
	}
	return []string{"localhost", a.cfg.Name}
}

func (a *Agent) newHub() (err error) {
	self := transport.Hello{Kind: nomadish.CallerServer.String(), ID: a.id, Region: a.cfg.Region, Build: a.cfg.Version}
	if a.cfg.Server == nil {
		self.Kind, self.ID, self.Secret = nomadish.CallerNode.String(), a.client.NodeID(), a.client.SecretID().Reveal()
	}
	a.hub, err = transport.NewHub(transport.HubConfig{
		Self: self, Listen: a.cfg.RPC, TLS: a.peerTLS, Joins: a.newJoins(), Admit: a.admit, Ended: a.sessionEnded, Resolve: a.resolve, Logger: a.cfg.Logger,
	}, a)
	return err
}

// admit decides about a session that another agent wants: servers are those of the cluster's
// configuration, and a node proves its ID by its secret once it has registered.
func (a *Agent) admit(ctx context.Context, h transport.Hello, _ string) error {
	denied := nomadish.Errorf(nomadish.KindDenied, "Permission denied")
	if a.server == nil {
		return denied
	}
	if h.Kind == nomadish.CallerServer.String() {
		if a.knowsServer(h) {
			return nil
		}
		return denied
	}
	ctx, cancel := context.WithTimeout(ctx, admitWithin)
	defer cancel()
	if err := a.server.CaughtUp(ctx); err != nil {
		return nomadish.Errorf(nomadish.KindNoLeader, "this server does not know its nodes yet: %w", err)
	}
	if err := a.server.Endpoint().CheckNode(h.ID, h.Secret); err != nil {
		return err
	}
	a.server.SessionBegins(h.ID)
	return nil
}

// admitWithin is how long a node waits for a server that has just started, less than the
// transport gives it.
const admitWithin = 3 * time.Second

func (a *Agent) newServer() (err error) {
	if a.cfg.Server == nil {
		return nil
	}
	c := *a.cfg.Server
	c.ID, c.Dir, c.Region = a.id, filepath.Join(a.cfg.DataDir, "server"), a.cfg.Region
	c.AskAuthoritative = a.askAuthoritative
	c.Servers, c.Liveness.Peers = a.serverAddrs, (*witnesses)(a)
	c.ACL.Enabled, c.ACL.ResetFile = a.cfg.ACL, filepath.Join(c.Dir, "acl-bootstrap-reset")
	c.Now, c.Logger = a.cfg.Now, a.cfg.Logger
	a.certify(&c.PKI)
	c.Name, c.Version, c.AskServer, c.AskState = a.cfg.Name, a.cfg.Version, a.askServer, a.askState
	c.Address = func() string { return (*status)(a).address(a.id) }
	if len(c.Bootstrap) == 0 && a.cfg.alone() {
		c.Bootstrap = []string{a.id}
	}
	if a.pool != nil {
		c.Pool, c.Expect, c.AskLeader = a.pool, a.cfg.Pool.Expect, a.askLeader
		c.AskBootstrap, c.AskWrapKey = a.askBootstrap, a.askWrapKey
	}
	if c.Schemas == nil && len(a.cfg.Drivers) > 0 {
		c.Schemas = map[string]nomadish.ConfigSchema{}
		for name, d := range a.cfg.Drivers {
			c.Schemas[name] = d.Schema()
		}
	}
	a.server, err = server.New(c, transport.NewRaft(a.hub, a.resolve))
	return err
}

func (a *Agent) newClient() (err error) {
	if a.cfg.Client == nil {
		return nil
	}
	c := *a.cfg.Client
	c.DataDir, c.Drivers, c.Name, c.Region, c.Datacenter = a.cfg.DataDir, a.cfg.Drivers, a.cfg.Name, a.cfg.Region, a.cfg.Datacenter
	c.HTTPAddr, c.TLS, c.Now, c.Logger = a.advertised(), a.tls != nil, a.cfg.Now, a.cfg.Logger
	c.Fingerprint.Version, c.Leased = a.cfg.Version, a.leased
	a.client, err = client.New(c, &a.link)
	return err
}

// connectClient gives the client its way to the servers: within the process where there is one.
func (a *Agent) connectClient() error {
	if err := a.connectSelf(); err != nil || a.client == nil {
		return err
	}
	var way http.RoundTripper = a.servers
	if a.server != nil {
		way = transport.InProcess(a, transport.Peer{Kind: nomadish.CallerNode, ID: a.client.NodeID()})
	}
	conn, err := api.New(api.Config{
		Transport: way, Region: a.cfg.Region, NodeID: a.client.NodeID(), NodeSecret: a.client.SecretID(), Token: a.cfg.IntroToken,
	})
	if err != nil {
		return err
	}
	a.link.NodeAgent = conn.NodeAgent()
	if a.server == nil {
		a.peer = conn
	}
	return nil
}

// connectSelf gives a server its way to ask as itself, which leads to the leader where need be.
func (a *Agent) connectSelf() (err error) {
	if a.server != nil {
		self := transport.Peer{Kind: nomadish.CallerServer, ID: a.id}
		a.peer, err = api.New(api.Config{Transport: transport.InProcess(a, self), Region: a.cfg.Region})
	}
	return err
}

// serverLink is a node's way to the servers. The client is made with it before the client's
// identity, which the way needs, is known.
type serverLink struct{ api.NodeAgent }

// advertised is where others reach this agent's API; empty where nobody can.
func (a *Agent) advertised() string {
	if a.cfg.Advertise != "" || a.http == nil {
		return a.cfg.Advertise
	}
	addr := a.http.Addrs()[0].String()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort(outwardAddress(), port)
	}
	return addr
}

// outwardAddress is the first address of this machine that is not on loopback, or loopback.
func outwardAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, addr := range addrs {
			if n, ok := addr.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}

// Addr returns the address of the API, or nil without one.
func (a *Agent) Addr() net.Addr {
	if a.http == nil {
		return nil
	}
	return a.http.Addrs()[0]
}

// RPCAddr returns the address for other agents, or nil without one.
func (a *Agent) RPCAddr() net.Addr { return a.hub.Addr() }

// Client returns a client of this agent's API that needs no socket.
func (a *Agent) Client() *api.Client {
	c, err := api.New(api.Config{
		Transport: transport.InProcess(a, transport.Peer{Addr: "in-process"}), Region: a.cfg.Region,
	})
	if err != nil {
		panic("agent: a client without an address is always right: " + err.Error())
	}
	return c
}

// Run runs the agent until ctx ends or it can't go on. It returns when everything that it
// started has ended; tasks go on unless the client's configuration says otherwise.
func (a *Agent) Run(ctx context.Context) error {
	defer a.lock.release()
	parts := append(slices.Clone(a.cfg.Parts), a.hub.Run)
	parts = append(parts, a.managedParts()...)
	if a.pool != nil {
		parts = append(parts, a.runPool)
	}
	if a.servers != nil {
		parts = append(parts, a.servers.Run)
		if len(a.cfg.Seek.Questions) > 0 || a.cfg.Seek.Max > 0 {
			parts = append(parts, a.seekServers)
		}
	}
	if a.server != nil {
		parts = append(parts, a.server.Run)
	}
	if a.http != nil {
		parts = append(parts, a.http.Run)
	}
	if a.client != nil {
		parts = append(parts, a.client.Run)
	}
	err := a.untilLeft(ctx, append(parts, a.monitors.run))
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), socketGrace)
	defer cancel()
	return errors.Join(err, a.api.Close(ending), a.closeAudit())
}

func (a *Agent) closeAudit() error {
	if a.audit == nil {
		return nil
	}
	return a.audit.Close()
}

// socketGrace is how long websockets may take to end.
const socketGrace = 5 * time.Second

// Close frees the data and listeners of an agent that was never run.
func (a *Agent) Close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var errs []error
	if a.http != nil {
		errs = append(errs, a.http.Run(ended))
	}
	if a.hub != nil {
		errs = append(errs, a.hub.Run(ended))
	}
	if a.pool != nil {
		errs = append(errs, a.pool.Close())
	}
	if a.server != nil {
		errs = append(errs, a.server.Close())
	}
	if a.client != nil {
		errs = append(errs, a.client.Run(ended))
	}
	errs = append(errs, a.closeAudit())
	a.lock.release()
	return errors.Join(errs...)
}

// serverID returns the server's identity, which its data directory keeps; empty on an agent
// that is no server.
func serverID(cfg Config) (string, error) {
	if cfg.Server == nil {
		return "", nil
	}
	path := filepath.Join(cfg.DataDir, "server", "id")
	data, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	id := nomadish.NewID()
	return id, os.WriteFile(path, []byte(id+"\n"), 0o600)
}
