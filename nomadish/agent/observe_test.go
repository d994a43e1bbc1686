package agent_test

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

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server"
)

func idle(ctx context.Context, _ *drivers.TaskSpec) int {
	<-ctx.Done()
	return 0
}

func text(ctx context.Context, c *api.Client, path string) (int, string, error) {
	resp, err := c.Raw(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// The event stream tells of a job from its registration to its end, over a real agent, and
// ends without an error with the agent.
func TestEventsOfAJob(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := config(t, func(context.Context, *drivers.TaskSpec) int { return 0 })
	told := make(chan error, 1)
	err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		begun := make(chan bool)
		ended := make(chan bool, 1)
		go func() { told <- tellJob(c, begun, ended) }()
		<-begun
		if err := c.Jobs().Finish(ctx, job("told")); err != nil {
			return err
		}
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err := errors.Join(err, <-told); err != nil {
		t.Fatal(err)
	}
}

func tellJob(c *api.Client, begun, ended chan bool) error {
	var got []string
	req := &nomadish.EventRequest{FromNow: true, Topics: []nomadish.EventTopic{{Topic: "*", Key: "told"}}}
	first := true
	for line, err := range c.Events().Lines(context.Background(), req) {
		if err != nil {
			return fmt.Errorf("after %v: %w", got, err)
		}
		if first {
			close(begun)
			first = false
		}
		if string(line) == "{}" {
			continue
		}
		got = append(got, string(line))
		if strings.Contains(string(line), `"ClientStatus":"complete"`) {
			ended <- true
		}
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{`"JobRegistered"`, `"EvaluationUpdated"`, `"PlanResult"`, `"AllocationUpdated"`} {
		if !strings.Contains(all, want) {
			return fmt.Errorf("no %s in %s", want, all)
		}
	}
	if strings.Contains(all, `"Topic":"Node"`) {
		return fmt.Errorf("an event of a node in %s", all)
	}
	return nil
}

// Metrics have Nomad's names. What is switched on by the configuration is there, and
// Prometheus's format only then.
func TestMetrics(t *testing.T) {
	for _, all := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cfg := config(t, idle)
		cfg.Client.StopTasksOnShutdown = true
		cfg.Telemetry = agent.Telemetry{Prometheus: all, AllocationMetrics: all, NodeMetrics: all, HostLabel: all, Interval: time.Nanosecond}
		err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
			for {
				_, err := c.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: job("busy")})
				if nomadish.KindOf(err) == nomadish.KindNoLeader {
					time.Sleep(5 * time.Millisecond)
					continue
				}
				if err != nil {
					return err
				}
				break
			}
			m, err := awaitGauge(ctx, c, "nomad.client.allocations.running")
			if err != nil {
				return err
			}
			for name, want := range map[string]bool{
				"nomad.runtime.num_goroutines": true, "nomad.nomad.job_summary.running": true, "nomad.nomad.job_status.running": true,
				"nomad.nomad.heartbeat.active": true, "nomadish.sessions": true, "nomadish.nodes.mass_silence": true, "nomadish.nodes.gone": false,
				"nomad.client.allocated.memory": true, "nomad.client.unallocated.cpu": true, "nomad.client.host.memory.total": all,
			} {
				g, ok := m[name]
				if ok != want || ok && all != (g.Labels["host"] == "test") {
					t.Errorf("%s is there: %t, with labels %v; wanted %t", name, ok, g.Labels, want)
				}
			}
			status, body, err := text(ctx, c, "/v1/metrics?format=prometheus")
			if err != nil {
				return err
			}
			if ok := status == 200 && strings.Contains(body, "# TYPE nomad_client_host_memory_total gauge\nnomad_client_host_memory_total{") &&
				strings.Contains(body, "# TYPE nomadish_nodes_gone counter\nnomadish_nodes_gone{cause=\"silent\","); ok != all || !all && status != http.StatusUnsupportedMediaType {
				t.Errorf("Prometheus's format: %d\n%s", status, body)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// awaitGauge waits until a gauge is not 0, and returns all by their names.
func awaitGauge(ctx context.Context, c *api.Client, name string) (map[string]nomadish.Gauge, error) {
	for {
		m, err := c.Agent().Metrics(ctx)
		if err != nil {
			return nil, err
		}
		byName := map[string]nomadish.Gauge{}
		for _, g := range m.Gauges {
			byName[g.Name] = g
		}
		if byName[name].Value > 0 {
			return byName, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Figures are read once per interval, however many ask.
func TestMetricsAreCached(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := config(t, idle)
	cfg.Telemetry.Interval = time.Hour
	err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		value := func() (float64, error) {
			m, err := c.Agent().Metrics(ctx)
			if err != nil {
				return 0, err
			}
			for _, g := range m.Gauges {
				if g.Name == "nomad.runtime.malloc_count" {
					return g.Value, nil
				}
			}
			return 0, errors.New("no such gauge")
		}
		a, errA := value()
		b, errB := value()
		if a != b {
			t.Errorf("read twice in an interval: %v and %v", a, b)
		}
		return errors.Join(errA, errB)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Profiles and the machine show only where the configuration allows it.
func TestDebug(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cfg := config(t, idle)
		cfg.Debug = allowed
		t.Setenv("SOME_PASSWORD", "CANARY")
		err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
			for _, tt := range []struct {
				path   string
				status int
				body   string
			}{
				{"/v1/agent/pprof/heap", 200, "\x1f\x8b"},
				{"/v1/agent/pprof/goroutine?debug=1", 200, "goroutine profile"},
				{"/v1/agent/pprof/cmdline", 200, "agent.test"},
				{"/v1/agent/pprof/trace?seconds=0", 200, "go 1."},
				{"/v1/agent/pprof/nonsense", 404, "Pprof profile not found profile: nonsense"},
				{"/v1/agent/pprof/profile?seconds=100000", 400, "seconds: 100000"},
				{"/v1/agent/host", 200, `"AgentID":"`},
			} {
				if !allowed {
					tt.status, tt.body = 403, "Permission denied"
				}
				status, body, err := text(ctx, c, tt.path)
				if err != nil {
					return err
				}
				if status != tt.status || !strings.Contains(body, tt.body) || strings.Contains(body, "CANARY") {
					t.Errorf("%s: %d %.200q, want %d %q", tt.path, status, body, tt.status, tt.body)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What a job keeps to itself is not in the log, at whatever level it is read.
func TestMonitorHoldsNoSecrets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var log bytes.Buffer
	read := make(chan error, 1)
	err := agent.With(ctx, config(t, func(context.Context, *drivers.TaskSpec) int { return 1 }), func(ctx context.Context, c *api.Client) error {
		begun := make(chan bool)
		go func() {
			first := true
			for frame, err := range c.Agent().Monitor(ctx, &nomadish.MonitorRequest{LogLevel: "trace"}) {
				if err != nil {
					if ctx.Err() != nil {
						err = nil
					}
					read <- err
					return
				}
				log.Write(frame.Data)
				if first {
					close(begun)
					first = false
				}
			}
			read <- nil
		}()
		for waiting := true; waiting; { // until the reader is there, there is something to read
			if _, err := c.Agent().Self(ctx); err != nil {
				return err
			}
			select {
			case <-begun:
				waiting = false
			default:
			}
		}
		secret := job("secret")
		secret.Meta = map[string]string{"a": "CANARY-1"}
		secret.TaskGroups[0].Tasks[0].Env = map[string]string{"PASSWORD": "CANARY-2"}
		secret.TaskGroups[0].RestartPolicy = &nomadish.RestartPolicy{Attempts: nomadish.Ptr(0), Mode: nomadish.Ptr("fail")}
		secret.TaskGroups[0].ReschedulePolicy = &nomadish.ReschedulePolicy{Attempts: nomadish.Ptr(0), Unlimited: nomadish.Ptr(false)}
		if err := c.Jobs().Finish(ctx, secret); err == nil {
			return errors.New("the job is complete, though its task fails")
		}
		return nil
	})
	if err := errors.Join(err, <-read); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "[DEBUG] request complete") || strings.Contains(log.String(), "CANARY") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// The workers that schedule can be seen and set, within bounds.
func TestSchedulers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := agent.With(ctx, config(t, idle), func(ctx context.Context, c *api.Client) error {
		for _, tt := range []struct {
			workers int
			types   []string
			kind    nomadish.Kind
		}{
			{-1, []string{"_core"}, nomadish.KindInvalid},
			{1, []string{"batch"}, nomadish.KindInvalid},
			{1, []string{"_core", "cron"}, nomadish.KindInvalid},
			{1000, []string{"_core"}, nomadish.KindInvalid},
		} {
			if _, err := c.Agent().SetSchedulersConfig(ctx, tt.workers, tt.types); nomadish.KindOf(err) != tt.kind {
				t.Errorf("%d workers for %v: %v", tt.workers, tt.types, err)
			}
		}
		got, err := c.Agent().SetSchedulersConfig(ctx, 3, []string{"_core", "batch"})
		if err != nil || got.NumSchedulers != 3 {
			t.Errorf("set: %+v, %v", got, err)
		}
		workers, err := c.Agent().Schedulers(ctx)
		if err != nil || len(workers.Schedulers) != 3 || strings.Join(workers.Schedulers[0].EnabledSchedulers, " ") != "batch _core" {
			t.Errorf("workers: %+v, %v", workers, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Events reach who asks an agent that is no server, and the server shows the log of a node
// that it reaches over the node's own session.
func TestObserveOverTheNetwork(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	srv, err := agent.New(agent.Config{Name: "server", DataDir: t.TempDir(), Server: &server.Config{}, RPC: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t, func(context.Context, *drivers.TaskSpec) int { return 0 })
	cfg.Server, cfg.Servers = nil, []string{srv.RPCAddr().String()}
	node, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- srv.Run(ctx) }()
	go func() { ended <- node.Run(ctx) }()
	if err := srv.Client().Jobs().Finish(ctx, job("far")); err != nil {
		t.Fatal(err)
	}
	types := map[string]bool{}
	for events, err := range node.Client().Events().Stream(ctx, &nomadish.EventRequest{Once: true}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Events {
			types[e.Type] = true
		}
	}
	if !types[nomadish.EventJobRegistered] || !types[nomadish.EventAllocationUpdated] {
		t.Errorf("through a node's agent: events %v", types)
	}
	nodes, _, err := srv.Client().Nodes().List(ctx, nil)
	if err != nil || len(nodes) != 1 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	reading, done := context.WithCancel(ctx)
	defer done()
	go func() { // something for the node to log
		for reading.Err() == nil {
			if _, err := node.Client().Agent().Self(reading); err != nil {
				return
			}
		}
	}()
	for frame, err := range srv.Client().Agent().Monitor(reading, &nomadish.MonitorRequest{LogLevel: "debug", NodeID: nodes[0].ID}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(frame.Data), "path=/v1/agent/self") {
			break
		}
	}
	done()
	cancel()
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
}
