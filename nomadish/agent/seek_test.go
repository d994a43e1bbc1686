package agent_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/discovery"
	"github.com/nomadish/nomadish/server"
)

// cloud is a provider whose machines come later.
type cloud struct {
	mu    sync.Mutex
	addrs []string
	asked int
}

func (c *cloud) set(addrs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addrs = addrs
}

func (c *cloud) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// finder asks the provider, which is called fake.
func (c *cloud) finder() *discovery.Finder {
	return &discovery.Finder{Providers: []string{"fake"}, Ask: func(_ context.Context, question string) ([]string, error) {
		args, err := discovery.Parse(question)
		if err != nil {
			return nil, err
		}
		if args["tag_value"] != "nomad" {
			return nil, errors.New("no such tag")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked++
		return c.addrs, nil
	}}
}

const fakeQuestion = "provider=fake secret=hidden tag_value=nomad"

// A server joins those that a provider names, as soon as there are some.
func TestServersLookedUp(t *testing.T) {
	f, there := newFleet(t), &cloud{}
	a := f.run("a", 1)
	b := f.start(agent.Config{
		Name: "b", DataDir: t.TempDir(), RPC: "127.0.0.1:0", Server: &server.Config{}, Discovery: there.finder(),
		Pool: &agent.PoolConfig{Bind: "127.0.0.1:0", Timing: quick, RetryJoin: []string{fakeQuestion}, RetryInterval: 10 * time.Millisecond},
	})
	eventually(t, "attempts without an answer", func() error {
		if there.times() < 3 || !f.log.says("provider=fake: no server was found") {
			return fmt.Errorf("asked %d times", there.times())
		}
		return nil
	})
	there.set(a.SerfAddr().String())
	eventually(t, "both know each other", func() error {
		members, err := b.Client().Agent().Members(t.Context())
		if err == nil && len(members.Members) != 2 {
			err = fmt.Errorf("%d members", len(members.Members))
		}
		return err
	})
	if f.log.says("hidden") {
		t.Error("the log tells the provider's secret")
	}
}

// A client node finds its servers by a program or a provider, and again when they are other ones.
func TestNodeLooksServersUp(t *testing.T) {
	f, there := newFleet(t), &cloud{}
	a := f.run("a", 1)
	for name, question := range map[string]string{"asks": fakeQuestion, "runs": "exec=echo " + a.RPCAddr().String()} {
		node, err := agent.New(agent.Config{
			Name: name, DataDir: t.TempDir(), Client: &client.Config{}, Discovery: there.finder(),
			Seek: agent.SeekConfig{Questions: []string{question}, Interval: 10 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		runAgentHere(t, node)
	}
	eventually(t, "attempts without an answer", func() error {
		if there.times() < 2 {
			return errors.New("none")
		}
		return nil
	})
	there.set(a.RPCAddr().String())
	eventually(t, "nodes", func() error {
		nodes, _, err := a.Client().Nodes().List(t.Context(), nil)
		if err == nil && len(nodes) != 2 {
			err = fmt.Errorf("%d nodes", len(nodes))
		}
		return err
	})
}

func runAgentHere(t *testing.T, a *agent.Agent) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Who finds no server in as many attempts as are allowed ends and says why; a question that nobody can answer
// is refused at once.
func TestLookingUpEnds(t *testing.T) {
	there := &cloud{}
	cfg := agent.Config{
		Name: "node", DataDir: t.TempDir(), Client: &client.Config{}, Discovery: there.finder(),
		Seek: agent.SeekConfig{Questions: []string{fakeQuestion}, Max: 3, Interval: time.Millisecond},
	}
	node, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := "client.server_join.retry_join: 3 attempts were in vain: provider=fake: no server was found"
	if err := node.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) || there.times() != 3 {
		t.Errorf("asked %d times: %v, want %s", there.times(), err, want)
	}
	for question, want := range map[string]string{
		"provider=scaleway secret=hidden": "server_join.retry_join: provider=scaleway: this program asks fake.",
		"provider=fake tag_value":         `server_join.retry_join: pairs of a provider: want KEY=VALUE, got "tag_value" without a value`,
		"exec=":                           "server_join.retry_join: exec=: no program is named",
	} {
		cfg.Seek.Questions = []string{question}
		if _, err := agent.New(cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %s", question, err, want)
		}
	}
}
