package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

func operatorMetricsCommand() command {
	return command{
		words: "operator metrics", args: "[PREFIX]", summary: "Show an agent's metrics",
		help: `  PREFIX leaves out metrics whose name does not begin so. With -format prometheus, which the
  agent's configuration has to allow, the text is what Prometheus gets.`,
		example: "  nomadish operator metrics nomad.client.host",
		reads:   true,
		run:     runOperatorMetrics,
	}
}

func runOperatorMetrics(ctx context.Context, c *call) error {
	format := ""
	c.readFlags()
	c.flags.StringVar(&format, "format", "", "prometheus: as text for Prometheus")
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	switch format {
	case "":
	case "prometheus":
		resp, err := client.Raw(ctx, http.MethodGet, "/v1/metrics?format=prometheus", nil, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
			return fmt.Errorf("%s (%s) %w", text, resp.Status, err)
		}
		_, err = io.Copy(c.content(), resp.Body)
		return err
	default:
		return c.misused("-format %q: want prometheus", format)
	}
	m, err := client.Agent().Metrics(ctx)
	if err != nil {
		return err
	}
	if len(c.args) == 1 {
		keepMetrics(m, c.args[0])
	}
	return c.show(m, func(p *page) { metricsPage(p, m) })
}

func keepMetrics(m *nomadish.MetricsSummary, prefix string) {
	m.Gauges = slices.DeleteFunc(m.Gauges, func(g nomadish.Gauge) bool { return !strings.HasPrefix(g.Name, prefix) })
	for _, list := range []*[]nomadish.Sample{&m.Counters, &m.Samples} {
		*list = slices.DeleteFunc(*list, func(s nomadish.Sample) bool { return !strings.HasPrefix(s.Name, prefix) })
	}
}

func metricsPage(p *page, m *nomadish.MetricsSummary) {
	p.line("%s", m.Timestamp)
	figure := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	rows := make([][]string, 0, len(m.Gauges))
	for _, g := range m.Gauges {
		rows = append(rows, []string{g.Name, figure(g.Value), labelText(g.Labels)})
	}
	p.title("Gauges")
	p.table([]string{"Name", "Value", "Labels"}, rows)
	rows = nil
	for _, s := range append(m.Counters, m.Samples...) {
		rows = append(rows, []string{s.Name, strconv.FormatUint(s.Count, 10), figure(s.Sum), strconv.FormatFloat(s.Mean, 'g', 4, 64), labelText(s.Labels)})
	}
	p.title("Counters and samples")
	p.table([]string{"Name", "Count", "Sum", "Mean", "Labels"}, rows)
}

func labelText(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if labels[name] != "" {
			parts = append(parts, name+"="+labels[name])
		}
	}
	return strings.Join(parts, " ")
}
