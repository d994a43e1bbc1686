package agent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	cfg.Logger = slog.New(slog.NewTextHandler(f.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})).With("agent", cfg.Name)
	pool := *cfg.Pool
	pool.RetryJoin = nil
	for _, s := range f.servers {
		pool.RetryJoin = append(pool.RetryJoin, s.SerfAddr().String())
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
	f := &fleet{t: t}
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
