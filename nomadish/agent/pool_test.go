package agent_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/leader/members"
)

// fleet is servers of one process, each with sockets of its own.
type fleet struct {
	t       *testing.T
	servers []*oneServer
	log     journal
}

func newFleet(t *testing.T) *fleet { return &fleet{t: t, log: journal{t: t}} }

// journal keeps what is logged.
type journal struct {
	t    *testing.T
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(line)
	return j.t.Output().Write(line)
}

func (j *journal) says(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), text)
}

// oneServer is a server through all its restarts.
type oneServer struct {
	*agent.Agent
	cfg  agent.Config
	stop func(cause error)
}

// quick are the times of a pool whose servers are near each other.
var quick = agent.GossipTiming{ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond, RejoinEvery: 200 * time.Millisecond}

// run starts a server that joins those that run.
func (f *fleet) run(name string, expect int) *oneServer {
	f.t.Helper()
	return f.start(agent.Config{
		Name: name, DataDir: f.t.TempDir(), RPC: "127.0.0.1:0", HTTP: []string{"127.0.0.1:0"},
		Server: &server.Config{Members: members.Config{Dead: 500 * time.Millisecond, Every: 100 * time.Millisecond}},
		Pool: &agent.PoolConfig{
			Bind: "127.0.0.1:0", Timing: quick, Expect: expect, RetryInterval: 100 * time.Millisecond,
			Leave: func(cause error) bool { return errors.Is(cause, errLeave) },
		},
	})
}

var errLeave = errors.New("leave")

func (f *fleet) start(cfg agent.Config) *oneServer {
	f.t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelInfo})).With("agent", cfg.Name)
	pool := *cfg.Pool
	if cfg.Discovery == nil {
		pool.RetryJoin = nil
		for _, s := range f.servers {
			pool.RetryJoin = append(pool.RetryJoin, s.SerfAddr().String())
		}
	}
	cfg.Pool = &pool
	a, err := agent.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	s := &oneServer{Agent: a, cfg: cfg}
	s.stop = func(cause error) {
		cancel(cause)
		f.servers = slices.DeleteFunc(f.servers, func(o *oneServer) bool { return o == s })
		if err := <-ended; err != nil {
			f.t.Errorf("server %s: %v", cfg.Name, err)
		}
		ended <- nil
	}
	f.t.Cleanup(func() { s.stop(nil) })
	f.servers = append(f.servers, s)
	return s
}

// eventually waits until check has nothing to say.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// voters waits until a server says that these ones replicate the state with a vote, and returns who leads.
func (f *fleet) voters(s *oneServer, want ...string) string {
	f.t.Helper()
	leader := ""
	eventually(f.t, "voters", func() error {
		conf, err := s.Client().Operator().RaftConfiguration(f.t.Context(), nil)
		if err != nil {
			return err
		}
		var got []string
		leader = ""
		for _, p := range conf.Servers {
			if p.Voter {
				got = append(got, p.Node)
			}
			if p.Leader {
				leader = p.Node
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || leader == "" {
			return fmt.Errorf("%v with leader %q, want %v", got, leader, want)
		}
		return nil
	})
	return leader
}

func (f *fleet) named(name string) *oneServer {
	f.t.Helper()
	for _, s := range f.servers {
		if s.cfg.Name == name {
			return s
		}
	}
	f.t.Fatalf("no server %s", name)
	return nil
}

func setVar(ctx context.Context, s *oneServer, path, value string) error {
	_, err := s.Client().Variables().Set(ctx, &nomadish.Variable{
		VariableMetadata: nomadish.VariableMetadata{Path: path}, Items: nomadish.VariableItems{"v": value},
	}, nil)
	return err
}

func readVar(ctx context.Context, s *oneServer, path string) (string, error) {
	v, _, err := s.Client().Variables().Variable(ctx, path, nil)
	if err != nil {
		return "", err
	}
	return v.Items["v"], nil
}

// Servers that expect each other begin one cluster; others are added to it, and it survives its leader.
func TestServersFormACluster(t *testing.T) {
	f := newFleet(t)
	a, b, c := f.run("a", 3), f.run("b", 3), f.run("c", 3)
	leader := f.named(f.voters(a, "a", "b", "c"))
	for i, s := range []*oneServer{a, b, c} {
		path := fmt.Sprint("x/", i)
		if err := setVar(t.Context(), s, path, "1"); err != nil {
			t.Fatalf("write through %s: %v", s.cfg.Name, err)
		}
		for _, reader := range []*oneServer{a, b, c} {
			if got, err := readVar(t.Context(), reader, path); err != nil || got != "1" {
				t.Errorf("%s reads %q, %v", reader.cfg.Name, got, err)
			}
		}
	}
	if err := setStabilization(t.Context(), a, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	d := f.run("d", 0)
	f.voters(d, "a", "b", "c", "d")

	leader.stop(nil)
	eventually(t, "a write after the leader's end", func() error { return setVar(t.Context(), d, "x/0", "2") })
	rest := []string{"a", "b", "c", "d"}
	rest = slices.DeleteFunc(rest, func(n string) bool { return n == leader.cfg.Name })
	f.voters(d, rest...)
	if got, err := readVar(t.Context(), d, "x/0"); err != nil || got != "2" {
		t.Errorf("d reads %q, %v", got, err)
	}
}

// setStabilization has new servers vote after that time.
func setStabilization(ctx context.Context, s *oneServer, d time.Duration) error {
	conf := nomadish.DefaultAutopilot()
	conf.ServerStabilizationTime = nomadish.TextDuration(d)
	_, err := s.Client().Operator().SetAutopilotConfig(ctx, conf, nil)
	return err
}

// A server that comes back is the same server, wherever it is; one that says good-bye is done without; one
// that lost its data is another one, which takes the place of the former.
func TestServersComeAndGo(t *testing.T) {
	f := newFleet(t)
	a, b, c := f.run("a", 3), f.run("b", 3), f.run("c", 3)
	leader := f.named(f.voters(a, "a", "b", "c"))
	if err := setStabilization(t.Context(), a, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	var rest []*oneServer
	for _, s := range []*oneServer{a, b, c} {
		if s != leader {
			rest = append(rest, s)
		}
	}
	moved := rest[0]
	id, was := memberOf(t, leader, moved.cfg.Name), moved.RPCAddr().String()
	moved.stop(nil)
	moved = f.start(moved.cfg) // with ports of their own
	if moved.RPCAddr().String() == was {
		t.Fatalf("it is at the same address: %s", was)
	}
	eventually(t, "it is the same server", func() error {
		now := memberOf(t, leader, moved.cfg.Name)
		if now.Tags["id"] != id.Tags["id"] || now.Status != "alive" || now.Tags["rpc_addr"]+":"+now.Tags["port"] != moved.RPCAddr().String() {
			return fmt.Errorf("%v", now)
		}
		return nil
	})
	f.voters(moved, "a", "b", "c")
	if err := setVar(t.Context(), moved, "x", "1"); err != nil {
		t.Fatal(err)
	}

	leader.stop(errLeave)
	f.voters(moved, rest[0].cfg.Name, rest[1].cfg.Name)
	if m := memberOf(t, moved, leader.cfg.Name); m.Status != "left" {
		t.Errorf("who left is %v", m)
	}

	back := f.run(leader.cfg.Name, 0) // with an empty data directory
	f.voters(back, "a", "b", "c")
	if got, err := readVar(t.Context(), back, "x"); err != nil || got != "1" {
		t.Errorf("it reads %q, %v", got, err)
	}
}

func memberOf(t *testing.T, s *oneServer, name string) *nomadish.Member {
	t.Helper()
	all, err := s.Client().Agent().Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found *nomadish.Member
	for _, m := range all.Members {
		if m.Name == name+".global" && (found == nil || m.Status == "alive") {
			found = m
		}
	}
	if found == nil {
		t.Fatalf("%s does not know %s", s.cfg.Name, name)
	}
	return found
}

// Two clusters of one region that meet stay two: neither takes the other's servers.
func TestTwoClustersStayTwo(t *testing.T) {
	f := newFleet(t)
	a := f.run("a", 1)
	f.voters(a, "a")
	alone := newFleet(t)
	b := alone.run("b", 1)
	alone.voters(b, "b")
	if n, err := a.Client().Agent().Join(t.Context(), b.SerfAddr().String()); err != nil || n != 1 {
		t.Fatalf("joined %d, %v", n, err)
	}
	eventually(t, "they see each other", func() error {
		if all, err := b.Client().Agent().Members(t.Context()); err != nil || len(all.Members) != 2 {
			return fmt.Errorf("%v, %w", all, err)
		}
		return nil
	})
	eventually(t, "both leaders say so", func() error {
		if what := "belongs to another cluster"; !f.log.says(what) || !alone.log.says(what) {
			return errors.New("they do not")
		}
		return nil
	})
	f.voters(a, "a")
	alone.voters(b, "b")
}

// The keys of gossip are changed while servers are up, over the API of any of them.
func TestKeysOfGossip(t *testing.T) {
	f := newFleet(t)
	cfg := func(name string, key []byte) agent.Config {
		return agent.Config{
			Name: name, DataDir: t.TempDir(), RPC: "127.0.0.1:0", Server: &server.Config{},
			Pool: &agent.PoolConfig{Bind: "127.0.0.1:0", Timing: quick, Expect: 2, Keys: [][]byte{key}, RetryInterval: 100 * time.Millisecond},
		}
	}
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	a, b := f.start(cfg("a", first)), f.start(cfg("b", first))
	f.voters(a, "a", "b")
	old, next := nomadish.SecretText(base64.StdEncoding.EncodeToString(first)), nomadish.SecretText(base64.StdEncoding.EncodeToString(second))
	routes := b.Client().Agent()
	if _, err := routes.UseKey(t.Context(), next); err == nil {
		t.Error("a key is used that nobody has")
	}
	for what, change := range []func(context.Context, nomadish.SecretText) (*nomadish.KeyringResponse, error){routes.InstallKey, routes.UseKey} {
		if r, err := change(t.Context(), next); err != nil || len(r.Messages) > 0 {
			t.Fatalf("change %d: %v, %v", what, r, err)
		}
	}
	if _, err := routes.RemoveKey(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	keys, err := a.Client().Agent().ListKeys(t.Context())
	if err != nil || keys.NumNodes != 2 || len(keys.Keys) != 1 || keys.PrimaryKeys[next.Reveal()] != 2 {
		t.Errorf("%+v, %v", keys, err)
	}
	b.stop(nil)
	kept := b.cfg // and its old key, which the kept ones outweigh
	b = f.start(kept)
	eventually(t, "it finds the other one", func() error {
		if m := memberOf(t, a, "b"); m.Status != "alive" {
			return fmt.Errorf("%v", m)
		}
		return nil
	})
	f.voters(b, "a", "b")
}
