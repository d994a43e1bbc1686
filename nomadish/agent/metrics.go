package agent

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server/state"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// metrics is this agent's registry. Figures are read when they are asked for, under Nomad's
// names where it has one.
type metrics struct {
	registry   *prometheus.Registry
	prometheus bool
	now        func() string
	requests   prometheus.Summary
}

// newMetrics returns the agent's metrics.
func newMetrics(a *Agent) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), prometheus: a.cfg.Prometheus}
	m.now = func() string { return a.cfg.Now().UTC().Format("2006-01-02 15:04:05 +0000 UTC") }
	m.requests = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "nomadish_http_request", Help: "Duration of requests to the API in milliseconds, streams included.",
	})
	m.registry.MustRegister(&collector{a}, m.requests)
	return m
}

// collector reads the agent's figures.
type collector struct{ agent *Agent }

// Describe sends nothing: which figures there are depends on what the agent is.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads all figures.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	gauge := func(name string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, name, names, nil), prometheus.GaugeValue, value, values...)
	}
	gauge("nomad_runtime_alloc_bytes", float64(mem.Alloc))
	gauge("nomad_runtime_sys_bytes", float64(mem.Sys))
	gauge("nomad_runtime_heap_objects", float64(mem.HeapObjects))
	gauge("nomad_runtime_num_goroutines", float64(runtime.NumGoroutine()))
	gauge("nomad_runtime_total_gc_runs", float64(mem.NumGC))
	if c.agent.server != nil {
		c.server(gauge)
	}
}

func (c *collector) server(gauge func(name string, value float64, labels ...string)) {
	r := c.agent.server.Store().Reader()
	gauge("nomad_raft_appliedIndex", float64(r.Index()))
	leads := 0.0
	if c.agent.server.Consensus().IsLeader() {
		leads = 1
	}
	gauge("nomad_raft_leader", leads)
	jobs := map[string]int{}
	for j := range r.Jobs(nil, state.AnyNamespace) {
		jobs[nomadish.Val(j.Status)]++
	}
	for _, status := range []string{nomadish.JobStatusPending, nomadish.JobStatusRunning, nomadish.JobStatusDead} {
		gauge("nomad_nomad_job_status_"+status, float64(jobs[status]))
	}
	allocs, nodes := map[string]int{}, map[string]int{}
	for a := range r.Allocations(nil) {
		allocs[a.ClientStatus]++
	}
	for n := range r.Nodes(nil) {
		nodes[n.Status]++
	}
	for status, n := range allocs {
		gauge("nomadish_allocations", float64(n), "status", status)
	}
	for status, n := range nodes {
		gauge("nomadish_nodes", float64(n), "status", status)
	}
	stats := c.agent.server.Evals().Stats()
	gauge("nomad_nomad_broker_total_ready", float64(stats.Ready))
	gauge("nomad_nomad_blocked_evals_total_blocked", float64(stats.Blocked))
}

// request notes how long a request took.
func (m *metrics) request(d time.Duration) {
	m.requests.Observe(float64(d) / float64(time.Millisecond))
}

// gauge is a figure in Nomad's JSON form.
type gauge struct {
	Name   string
	Value  float64
	Labels map[string]string
}

// sample is a distribution in Nomad's JSON form, since the agent began.
type sample struct {
	Name   string
	Count  uint64
	Sum    float64
	Mean   float64
	Labels map[string]string
}

// summary is all figures in Nomad's JSON form.
type summary struct {
	Timestamp string
	Gauges    []gauge
	Points    []gauge
	Counters  []sample
	Samples   []sample
}

// add shows a distribution: how often as a counter, how much as a sample.
func (s *summary) add(name string, d *dto.Summary) {
	out := sample{Name: name, Count: d.GetSampleCount(), Sum: d.GetSampleSum(), Labels: map[string]string{}}
	if out.Count > 0 {
		out.Mean = out.Sum / float64(out.Count)
	}
	s.Samples = append(s.Samples, out)
	s.Counters = append(s.Counters, sample{Name: name + "s", Count: out.Count, Sum: float64(out.Count), Mean: 1, Labels: out.Labels})
}

// Summary returns all figures, to be encoded as JSON.
func (m *metrics) Summary(context.Context) (any, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	s := summary{Timestamp: m.now(), Gauges: []gauge{}, Points: []gauge{}, Counters: []sample{}, Samples: []sample{}}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			name := dotted(f.GetName())
			if d := metric.GetSummary(); d != nil {
				s.add(name, d)
				continue
			}
			s.Gauges = append(s.Gauges, gauge{Name: name, Value: metric.GetGauge().GetValue(), Labels: labels(metric)})
		}
	}
	return s, nil
}

// dotted writes the parts of a name as Nomad does in JSON: the program's and the section's end in a dot.
func dotted(name string) string {
	out, dots := []byte(name), 0
	for i, b := range out {
		if b == '_' && dots < 2 {
			out[i] = '.'
			dots++
		}
	}
	return string(out)
}

func labels(m *dto.Metric) map[string]string {
	out := map[string]string{}
	for _, l := range m.GetLabel() {
		out[l.GetName()] = l.GetValue()
	}
	return out
}

// Prometheus writes all figures in Prometheus's text format, where that is switched on.
func (m *metrics) Prometheus(w io.Writer) (contentType string, ok bool, err error) {
	if !m.prometheus {
		return "", false, nil
	}
	families, err := m.registry.Gather()
	if err != nil {
		return "", true, err
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	enc := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return "", true, err
		}
	}
	return string(format), true, nil
}

// askMembers asks a server for the servers that it knows.
func askMembers(ctx context.Context, way http.RoundTripper) (*nomadish.ServerMembers, error) {
	c, err := api.New(api.Config{Transport: way})
	if err != nil {
		return nil, err
	}
	return c.Agent().Members(ctx)
}
