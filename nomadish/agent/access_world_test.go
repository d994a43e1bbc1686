package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/function"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// guarded is a cluster with access control: a server and a client node, each an agent with
// ports of its own. In the namespace "web-admin" the job "web" runs, with a variable.
type guarded struct {
	t       *testing.T
	server  *Agent // that leads
	node    *Agent
	alloc   *nomadish.Allocation
	ended   *nomadish.Allocation // of the job "over"
	eval    string
	tls     func(role string) *PeerTLS // encrypts connections between agents; nil: nothing does
	secrets map[string]string          // of tokens, and identities of tasks, by name

	follower, other *Agent // another server, and one of another region; nil: there is none
}

// policies are those that tokens, and the workload "task-policy", have by their own name.
var policies = map[string]string{
	"other":       `namespace "other" { policy = "write" }`,
	"web":         `namespace "web" { policy = "write" variables { path "*" { capabilities = ["read", "write", "destroy"] } } }`,
	"deny":        `namespace "web-*" { policy = "write" } namespace "web-admin" { policy = "deny" }`,
	"read":        `namespace "web-admin" { policy = "read" }`,
	"write":       `namespace "web-admin" { policy = "write" variables { path "nomad/jobs/*" { capabilities = ["read", "write", "destroy"] } } }`,
	"task-policy": `namespace "web-admin" { policy = "read" }`,
	"ops-read": `node { policy = "read" } agent { policy = "read" } operator { policy = "read" } quota { policy = "read" }
		node_pool "*" { policy = "read" }`,
	"ops-write": `node { policy = "write" } agent { policy = "write" } quota { policy = "write" } node_pool "*" { policy = "write" }
		operator { policy = "write" capabilities = ["keyring-read", "keyring-rotate", "keyring-delete", "snapshot-save"] }`,
}

func (g *guarded) secure(role string) *PeerTLS {
	if g.tls == nil {
		return nil
	}
	return g.tls(role)
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	return newGuardedWith(t, nil)
}

// newGuardedWith is newGuarded with what encrypts the connections of the server and of the client.
func newGuardedWith(t *testing.T, secure func(role string) *PeerTLS) *guarded {
	t.Helper()
	g := &guarded{t: t, secrets: map[string]string{}, tls: secure}
	g.server = g.run(Config{Name: "server", DataDir: t.TempDir(), Server: &server.Config{}, HTTP: []string{"127.0.0.1:0"}, RPC: "127.0.0.1:0", ACL: true, MaxConns: -1, PeerTLS: g.secure("server")})
	g.furnish()
	return g
}

// newGuardedCluster makes one of three servers, and a server of another region, which takes what all
// regions share from this one.
func newGuardedCluster(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{t: t, secrets: map[string]string{}}
	var join []string
	start := func(name, region string, expect int) *Agent {
		a := g.run(Config{
			Name: name, Region: region, DataDir: t.TempDir(), HTTP: []string{"127.0.0.1:0"}, RPC: "127.0.0.1:0", ACL: true, MaxConns: -1,
			Server: &server.Config{Authoritative: nomadish.DefaultRegion},
			Pool:   &PoolConfig{Bind: "127.0.0.1:0", Expect: expect, RetryJoin: join, RetryInterval: 100 * time.Millisecond},
		})
		join = append(join, a.SerfAddr().String())
		return a
	}
	var servers []*Agent
	for _, name := range []string{"one", "two", "three"} {
		servers = append(servers, start(name, nomadish.DefaultRegion, 3))
	}
	g.until("a leader", func() error {
		for i, s := range servers {
			if s.server.Consensus().IsLeader() {
				g.server, g.follower = s, servers[(i+1)%len(servers)]
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	g.other = start("other", "elsewhere", 1)
	g.furnish()
	g.until("keys at every server", func() error {
		for _, s := range servers {
			if _, err := s.server.Keyring().MACs("test", nil); err != nil {
				return err
			}
		}
		return nil
	})
	g.until("the regions know each other", func() error {
		if !g.other.server.Consensus().IsLeader() {
			return errors.New("no leader in the other region")
		}
		if regions, err := (*status)(g.other).Regions(t.Context()); err != nil || len(regions) != 2 {
			return fmt.Errorf("%v, %w", regions, err)
		}
		return nil
	})
	return g
}

// furnish adds a client node, people and what they ask about to a server.
func (g *guarded) furnish() {
	g.until("a leader with keys", func() error {
		if !g.server.server.Consensus().IsLeader() {
			return errors.New("no leader")
		}
		_, err := g.server.server.Keyring().MACs("test", nil)
		return err
	})
	idle := function.New(func(ctx context.Context, s *drivers.TaskSpec) int {
		if s.JobID == "over" {
			return 0
		}
		<-ctx.Done()
		return 0
	})
	g.node = g.run(Config{
		Name: "node", DataDir: g.t.TempDir(), Client: &client.Config{StopTasksOnShutdown: true}, Servers: []string{g.server.RPCAddr().String()},
		HTTP: []string{"127.0.0.1:0"}, ACL: true, MaxConns: -1, PeerTLS: g.secure("client"), Drivers: map[string]drivers.Driver{"function": idle},
	})
	g.policies()
	g.tokens()
	g.alloc, g.ended = g.job("web"), g.job("over")
	g.workloads()
}

func (g *guarded) run(cfg Config) *Agent {
	g.t.Helper()
	a, err := New(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	g.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			g.t.Error(err)
		}
	})
	return a
}

func (g *guarded) until(what string, f func() error) {
	g.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("%s: %v", what, err)
		}
	}
}

func (g *guarded) propose(c fsm.Command) {
	g.t.Helper()
	if _, err := g.server.server.Consensus().Propose(g.t.Context(), c); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guarded) policies() {
	for _, name := range []string{"web-admin", "web", "other"} {
		g.propose(&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: name}}})
	}
	for name, rules := range policies {
		p := &nomadish.ACLPolicy{Name: name, Rules: rules}
		if name == "task-policy" {
			p.JobACL = &nomadish.JobACL{Namespace: "web-admin", JobID: "web", Group: "web", Task: "task-policy"}
		}
		g.propose(&fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{p}})
	}
}

// token makes a token of a policy, or of management if that is empty.
func (g *guarded) token(name, policy string, change func(*nomadish.ACLToken)) *nomadish.ACLToken {
	g.t.Helper()
	secret := nomadish.NewID()
	token := &nomadish.ACLToken{AccessorID: nomadish.NewID(), Name: name, Type: nomadish.ACLTokenManagement}
	if policy != "" {
		token.Type, token.Policies = nomadish.ACLTokenClient, []string{policy}
	}
	if change != nil {
		change(token)
	}
	hashes, err := g.server.server.Keyring().MACs(nomadish.SecretPurpose, []byte(secret))
	if err != nil {
		g.t.Fatal(err)
	}
	token.SecretHash = hashes[0]
	if token.Secret, err = g.server.server.Keyring().Seal([]byte(secret), token.SealedBinding()); err != nil {
		g.t.Fatal(err)
	}
	g.propose(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{token}})
	g.secrets[name] = secret
	return token
}

func (g *guarded) tokens() {
	for _, name := range []string{"other", "web", "deny", "read", "write", "ops-read", "ops-write"} {
		g.token(name, name, nil)
	}
	g.token("management", "", nil)
	past := time.Now().Add(-time.Minute)
	g.token("expired", "", func(t *nomadish.ACLToken) { t.ExpirationTime = &past })
	gone := g.token("revoked", "", nil)
	g.propose(&fsm.DeleteACLTokens{AccessorIDs: []string{gone.AccessorID}})
	g.secrets["unknown"] = nomadish.NewID()
}

// job runs a job in the namespace and returns its allocation, running, or ended if it ends.
func (g *guarded) job(id string) *nomadish.Allocation {
	j := nomadish.NewJob(id, nomadish.JobTypeBatch, &nomadish.Task{Name: "task", Driver: "function"})
	j.Namespace = nomadish.Ptr("web-admin")
	group := j.TaskGroups[0]
	group.Name = nomadish.Ptr("web")
	group.Tasks = append(group.Tasks, &nomadish.Task{Name: "task-policy", Driver: "function"})
	group.Scaling = &nomadish.ScalingPolicy{Max: nomadish.Ptr(int64(3)), Enabled: nomadish.Ptr(false)}
	ctx := nomadish.WithCaller(g.t.Context(), nomadish.Caller{Kind: nomadish.CallerServer})
	resp, _, err := g.server.server.Endpoint().RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: j})
	if err != nil {
		g.t.Fatal(err)
	}
	g.eval = resp.EvalID
	var found *nomadish.Allocation
	g.until("the allocation of "+id, func() error {
		for a := range g.store().AllocationsByJob(nil, "web-admin", id) {
			if found = a; a.ClientStatus == nomadish.AllocClientRunning && id == "web" || a.ClientStatus == nomadish.AllocClientComplete {
				return nil
			}
		}
		return fmt.Errorf("not there: %+v", found)
	})
	return found
}

func (g *guarded) store() state.Reader { return g.server.server.Store().Reader() }

// identity signs who a task is.
func (g *guarded) identity(a *nomadish.Allocation, job, task string) string {
	g.t.Helper()
	now := time.Now().Unix()
	jwt, err := g.server.server.Keyring().Sign(&nomadish.IdentityClaims{
		Namespace: a.Namespace, JobID: job, AllocationID: a.ID, Task: task, Subject: "s", ID: nomadish.NewID(),
		Audience: nomadish.Audience{nomadish.IdentityAudience}, IssuedAt: now, NotBefore: now, Expires: now + 3600,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return jwt
}

func (g *guarded) workloads() {
	g.secrets["task"] = g.identity(g.alloc, "web", "task")
	g.secrets["task-policy"] = g.identity(g.alloc, "web", "task-policy")
	g.secrets["task-ended"] = g.identity(g.ended, "over", "task-policy")
	g.secrets["task-forged"] = g.identity(g.alloc, "web-admin", "task-policy")
}

// header is what somebody shows.
func (g *guarded) header(who string) http.Header {
	h := http.Header{}
	switch who {
	case "none":
	case "node":
		h.Set("X-Nomadish-Node-Id", g.node.client.NodeID())
		h.Set("X-Nomadish-Node-Secret", g.node.client.SecretID().Reveal())
	case "as-server": // what only servers may say of a request that they forward
		h.Set("X-Nomadish-Origin-Kind", "server")
		h.Set("X-Nomadish-Origin-Id", g.server.id)
		h.Set("X-Nomadish-Hops", "0")
	default:
		secret, ok := g.secrets[who]
		if !ok {
			g.t.Fatalf("nobody is called %q", who)
		}
		h.Set("X-Nomad-Token", secret)
	}
	return h
}

// asker makes requests of an agent's port.
type asker struct {
	g    *guarded
	name string
	addr net.Addr
	http *http.Client

	region string // that it names in each request; empty: none
	sample uint32 // it asks for one of so many routes
}

func (g *guarded) ask(a *Agent) *asker {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	g.t.Cleanup(c.CloseIdleConnections)
	return &asker{g: g, name: a.cfg.Name, addr: a.Addr(), http: c, sample: 1}
}

// patienceOfStreams is how long a stream may take to its first byte: then it was let in.
const patienceOfStreams = 400 * time.Millisecond

// do asks and returns the status, 0 for a stream that is silent, and the answer's beginning.
func (a *asker) do(who, method, path, body string) (int, string) {
	a.g.t.Helper()
	ctx, cancel := context.WithTimeout(a.g.t.Context(), 20*time.Second)
	defer cancel()
	if a.region != "" {
		path += "&region=" + a.region
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.addr.String()+path, strings.NewReader(body))
	if err != nil {
		a.g.t.Fatal(err)
	}
	req.Header = a.g.header(who)
	if strings.Contains(path, "stream") || strings.Contains(path, "monitor") || strings.Contains(path, "follow=true") {
		timer := time.AfterFunc(patienceOfStreams, cancel)
		defer timer.Stop()
	}
	resp, err := a.http.Do(req)
	if err != nil {
		if errors.Is(err, context.Canceled) && a.g.t.Context().Err() == nil {
			return 0, ""
		}
		a.g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // streams are cut off
	return resp.StatusCode, string(bytes.TrimSpace(text))
}
