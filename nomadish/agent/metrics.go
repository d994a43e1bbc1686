package agent

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Telemetry says which metrics an agent shows, and how.
type Telemetry struct {
	Prometheus        bool          // also in Prometheus's format
	AllocationMetrics bool          // what each task uses
	NodeMetrics       bool          // what the machine uses
	HostLabel         bool          // every figure has the agent's name as its label host
	Interval          time.Duration // for which figures hold, however often they are asked for; default 1s
}

// metrics shows this agent's figures. They are read when somebody asks, at most once in an interval.
type metrics struct {
	agent    *Agent
	requests prometheus.Summary

	mu   sync.Mutex
	at   time.Time // when list was read
	list []figure
}

// newMetrics returns the agent's metrics.
func newMetrics(a *Agent) *metrics {
	return &metrics{agent: a, requests: prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "nomadish_http_request", Help: "Duration of requests to the API in milliseconds, streams included.",
	})}
}

// request notes how long a request took.
func (m *metrics) request(d time.Duration) {
	m.requests.Observe(float64(d) / float64(time.Millisecond))
}

// figures returns the figures of the present interval. They are shared.
func (m *metrics) figures(ctx context.Context) []figure {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list == nil || time.Since(m.at) >= cmp.Or(m.agent.cfg.Telemetry.Interval, time.Second) {
		m.list, m.at = m.agent.read(ctx), time.Now()
	}
	return m.list
}

// Summary returns all figures, to be encoded as JSON.
func (m *metrics) Summary(ctx context.Context) (any, error) {
	s := &nomadish.MetricsSummary{
		Timestamp: m.agent.cfg.Now().UTC().Format("2006-01-02 15:04:05 +0000 UTC"),
		Gauges:    []nomadish.Gauge{}, Points: []nomadish.Gauge{}, Counters: []nomadish.Sample{}, Samples: []nomadish.Sample{},
	}
	for _, f := range m.figures(ctx) {
		g := nomadish.Gauge{Name: f.name, Value: f.value, Labels: map[string]string{}}
		for i := 0; i+1 < len(f.labels); i += 2 {
			g.Labels[f.labels[i]] = f.labels[i+1]
		}
		if f.count {
			s.Counters = append(s.Counters, nomadish.Sample{Name: f.name, Count: uint64(f.value), Sum: f.value, Mean: 1, Labels: g.Labels})
			continue
		}
		s.Gauges = append(s.Gauges, g)
	}
	var requests dto.Metric
	if err := m.requests.Write(&requests); err != nil {
		return nil, err
	}
	sample := nomadish.Sample{
		Name: "nomadish.http.request", Count: requests.GetSummary().GetSampleCount(), Sum: requests.GetSummary().GetSampleSum(), Labels: map[string]string{},
	}
	if sample.Count > 0 {
		sample.Mean = sample.Sum / float64(sample.Count)
	}
	s.Samples = append(s.Samples, sample)
	s.Counters = append(s.Counters, nomadish.Sample{
		Name: "nomadish.http.requests", Count: sample.Count, Sum: float64(sample.Count), Mean: 1, Labels: sample.Labels,
	})
	return s, nil
}

// Prometheus writes all figures in Prometheus's text format, where that is switched on.
func (m *metrics) Prometheus(w io.Writer) (contentType string, ok bool, err error) {
	if !m.agent.cfg.Telemetry.Prometheus {
		return "", false, nil
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	enc := expfmt.NewEncoder(w, format)
	families, err := m.families()
	if err != nil {
		return "", true, err
	}
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return "", true, err
		}
	}
	return string(format), true, nil
}

// families sorts the figures by name, as the format wants them.
func (m *metrics) families() ([]*dto.MetricFamily, error) {
	requests := &dto.Metric{}
	if err := m.requests.Write(requests); err != nil {
		return nil, err
	}
	byName := map[string]*dto.MetricFamily{"nomadish_http_request": {
		Name: nomadish.Ptr("nomadish_http_request"), Help: nomadish.Ptr("Duration of requests to the API in milliseconds, streams included."),
		Type: dto.MetricType_SUMMARY.Enum(), Metric: []*dto.Metric{requests},
	}}
	for _, f := range m.figures(context.Background()) {
		name := underscored(f.name)
		family := byName[name]
		if family == nil {
			family = &dto.MetricFamily{Name: &name, Help: &f.name, Type: dto.MetricType_GAUGE.Enum()}
			if f.count {
				family.Type = dto.MetricType_COUNTER.Enum()
			}
			byName[name] = family
		}
		metric := &dto.Metric{Label: pairs(f.labels)}
		if f.count {
			metric.Counter = &dto.Counter{Value: &f.value}
		} else {
			metric.Gauge = &dto.Gauge{Value: &f.value}
		}
		family.Metric = append(family.Metric, metric)
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) }), nil
}

// pairs are labels in the order of their names.
func pairs(labels []string) []*dto.LabelPair {
	var out []*dto.LabelPair
	for i := 0; i+1 < len(labels); i += 2 {
		out = append(out, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	slices.SortFunc(out, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// underscored is a name as Prometheus takes it.
func underscored(name string) string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(name)
}
