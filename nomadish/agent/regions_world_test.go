package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/mock"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server"
)

// federation is some regions of one server each, with access control. The first one is
// authoritative. Client nodes are agents of their own.
type federation struct {
	t       *testing.T
	members map[string]*resident // servers by region, nodes by "REGION-node"
	first   string
	root    string // secret of the first management token
}

// resident is an agent that can be stopped and started again at the same addresses.
type resident struct {
	*Agent
	cfg  Config
	stop func()
}

func newFederation(t *testing.T, regions ...string) *federation {
	t.Helper()
	f := &federation{t: t, members: map[string]*resident{}, first: regions[0], root: nomadish.NewID()}
	for _, region := range regions {
		cfg := Config{
			Name: region + "-server", Region: region, DataDir: t.TempDir(), HTTP: []string{"127.0.0.1:0"}, RPC: "127.0.0.1:0",
			Pool:   &PoolConfig{Bind: "127.0.0.1:0", Expect: 1},
			Server: &server.Config{Authoritative: f.first}, ACL: true, ReplicationToken: nomadish.SecretText(f.root), MaxConns: -1,
		}
		if region != f.first {
			cfg.Pool.StartJoin = []string{f.members[f.first].SerfAddr().String()}
		}
		f.members[region] = &resident{cfg: cfg}
		f.start(region)
	}
	f.until("the first token", func() error {
		_, err := f.as(f.first, "").ACL().Bootstrap(t.Context(), nomadish.SecretText(f.root))
		return err
	})
	return f
}

// start runs a member, at the addresses that it had before.
func (f *federation) start(name string) {
	f.t.Helper()
	m := f.members[name]
	a, err := New(m.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	m.Agent = a
	m.cfg.HTTP[0] = a.Addr().String()
	if a.RPCAddr() != nil {
		m.cfg.RPC = a.RPCAddr().String()
	}
	if m.cfg.Pool != nil {
		m.cfg.Pool.Bind = a.SerfAddr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			f.t.Error(err)
		}
	}
	f.t.Cleanup(m.stop)
}

// node adds a client node to a region.
func (f *federation) node(region string) {
	f.t.Helper()
	f.members[region+"-node"] = &resident{cfg: Config{
		Name: region + "-node", Region: region, DataDir: f.t.TempDir(), Client: &client.Config{StopTasksOnShutdown: true},
		Servers: []string{f.members[region].RPCAddr().String()}, HTTP: []string{"127.0.0.1:0"}, ACL: true, MaxConns: -1,
		Drivers: map[string]drivers.Driver{mock.Name: speaking{mock.New(nil)}},
	}}
	f.start(region + "-node")
}

// speaking is a driver whose tasks take commands, which answer what they are told and exit with 7.
type speaking struct{ *mock.Driver }

func (speaking) Exec(_ context.Context, _ *drivers.Handle, req *drivers.ExecRequest) (int, error) {
	if _, err := io.Copy(req.Stdout, req.Stdin); err != nil {
		return 0, err
	}
	return 7, nil
}

// as is a client of a member's API with a token.
func (f *federation) as(name, token string, change ...func(*api.Config)) *api.Client {
	f.t.Helper()
	cfg := api.Config{Address: "http://" + f.members[name].Addr().String(), Token: nomadish.SecretText(token)}
	for _, c := range change {
		c(&cfg)
	}
	c, err := api.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// in asks for a region.
func in(region string) func(*api.Config) {
	return func(c *api.Config) { c.Region = region }
}

func (f *federation) until(what string, done func() error) {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("%s: %v", what, err)
		}
	}
}

// get asks a member and returns the answer's status and body, and how long it took.
func (f *federation) get(name, token, method, path, body string) (int, string, time.Duration) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.members[name].Addr().String()+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("X-Nomad-Token", token)
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatalf("%s %s of %s: %v", method, path, name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, string(bytes.TrimSpace(text)), time.Since(began)
}

// replicated waits until a region has all that the authoritative one shares, and knows all regions.
func (f *federation) replicated(region string) {
	f.t.Helper()
	f.until(region+" replicates", func() error {
		if regions, err := f.as(region, "").Status().Regions(f.t.Context()); err != nil || len(regions) != f.regions() {
			return fmt.Errorf("regions %v, %w", regions, err)
		}
		r, err := f.members[region].server.Replication(f.t.Context())
		if err != nil {
			return err
		}
		for _, k := range r.Kinds {
			if k.LastSuccess.IsZero() {
				return fmt.Errorf("%s: %s", k.Kind, k.LastError)
			}
		}
		if len(r.Kinds) == 0 {
			return errors.New("nobody leads")
		}
		return nil
	})
}

func (f *federation) regions() (n int) {
	for _, m := range f.members {
		if m.cfg.Server != nil {
			n++
		}
	}
	return n
}

// run has a job of one task run in a region, and returns its allocation.
func (f *federation) run(region, id string) *nomadish.AllocationListStub {
	f.t.Helper()
	j := nomadish.NewJob(id, nomadish.JobTypeBatch, &nomadish.Task{
		Name: "task", Driver: mock.Name, Config: map[string]any{"run_for": "1h", "stdout_string": "hello from " + region + "\n"},
	})
	j.Region = &region
	req := &nomadish.JobRegisterRequest{Job: j, WriteRequest: nomadish.WriteRequest{Region: region}}
	if _, err := f.as(f.first, f.root).Jobs().Register(f.t.Context(), req); err != nil {
		f.t.Fatal(err)
	}
	var found *nomadish.AllocationListStub
	f.until("the allocation of "+id, func() error {
		list, _, err := f.as(region, f.root).Jobs().Allocations(f.t.Context(), id, false, nil)
		if err != nil {
			return err
		}
		if len(list) != 1 || list[0].ClientStatus != nomadish.AllocClientRunning {
			return fmt.Errorf("%d allocations, not running", len(list))
		}
		found = list[0]
		return nil
	})
	return found
}
