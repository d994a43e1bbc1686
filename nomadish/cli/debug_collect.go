package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Bounds of what is collected.
const (
	debugStream = 64 << 20 // bytes of logs, and of events
	debugBody   = 64 << 20 // bytes of one answer
	debugJobs   = 1000     // jobs that are shown whole
)

// debugCollector collects what is in a debug archive.
type debugCollector struct {
	*call
	client *api.Client
	flags  *debugFlags
	bundle *bundle
	self   *nomadish.AgentSelf
}

// collect collects everything. What it can't have it notes, and goes on.
func (d *debugCollector) collect(ctx context.Context) {
	d.json("version.json", map[string]any{"CLI": d.Version, "Agent": d.self.Config["Version"], "Flags": map[string]any{
		"duration": d.flags.duration.String(), "interval": d.flags.interval.String(), "log-level": d.flags.logLevel, "event-topic": d.flags.topics,
	}})
	d.cluster(ctx)
	streams, stop := context.WithTimeout(ctx, d.flags.duration)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { d.logs(streams) })
	wg.Go(func() { d.events(streams) })
	wg.Go(func() { d.profiles(ctx) })
	for round := 0; ; round++ {
		d.round(ctx, round)
		if lifecycle.Sleep(streams, d.flags.interval) != nil {
			break
		}
	}
	wg.Wait()
	d.jobs(ctx)
}

// cluster asks for what hardly changes.
func (d *debugCollector) cluster(ctx context.Context) {
	for name, path := range map[string]string{
		"cluster/agent-self.json": "/v1/agent/self", "cluster/members.json": "/v1/agent/members", "cluster/leader.json": "/v1/status/leader",
		"cluster/peers.json": "/v1/status/peers", "cluster/regions.json": "/v1/regions", "cluster/replication.json": "/v1/operator/replication", "cluster/health.json": "/v1/agent/health",
		"cluster/scheduler-config.json": "/v1/operator/scheduler/configuration", "cluster/schedulers.json": "/v1/agent/schedulers",
		"cluster/namespaces.json": "/v1/namespaces", "cluster/node-pools.json": "/v1/node/pools", "cluster/host.json": "/v1/agent/host",
	} {
		d.get(ctx, name, path)
	}
}

// round asks for what changes.
func (d *debugCollector) round(ctx context.Context, n int) {
	at := func(name string) string { return fmt.Sprintf("state/%03d/%s", n, name) }
	d.get(ctx, at("nodes.json"), "/v1/nodes?resources=true")
	d.get(ctx, at("jobs.json"), "/v1/jobs?namespace=*")
	d.get(ctx, at("allocations.json"), "/v1/allocations?namespace=*")
	d.get(ctx, at("evaluations.json"), "/v1/evaluations?namespace=*")
	d.get(ctx, at("deployments.json"), "/v1/deployments?namespace=*")
	d.get(ctx, at("metrics.json"), "/v1/metrics")
}

// jobs shows each job.
func (d *debugCollector) jobs(ctx context.Context) {
	jobs, _, err := d.client.Jobs().List(ctx, &api.Query{Namespace: "*"})
	if err != nil {
		d.bundle.fail("jobs", err)
		return
	}
	for i, j := range jobs {
		if i == debugJobs {
			d.bundle.fail("jobs", fmt.Errorf("%d of %d jobs are left out", len(jobs)-i, len(jobs)))
			return
		}
		name := fmt.Sprintf("jobs/%04d.json", i) // a name may hold what no file name can
		job, _, err := d.client.Jobs().Job(ctx, j.ID, &api.Query{Namespace: j.Namespace})
		if err != nil {
			d.bundle.fail(name, err)
			continue
		}
		d.json(name, job)
	}
}

// profiles asks for what the agent does inside. Not every agent shows that.
func (d *debugCollector) profiles(ctx context.Context) {
	if d.flags.profile <= 0 {
		return
	}
	for _, p := range []struct {
		file string
		req  nomadish.ProfileRequest
	}{
		{"pprof/goroutine.txt", nomadish.ProfileRequest{Name: "goroutine", Debug: 1}},
		{"pprof/goroutine.prof", nomadish.ProfileRequest{Name: "goroutine"}},
		{"pprof/heap.prof", nomadish.ProfileRequest{Name: "heap"}},
		{"pprof/profile.prof", nomadish.ProfileRequest{Name: "profile", Seconds: int(max(d.flags.profile, time.Second) / time.Second)}},
	} {
		data, err := d.client.Agent().Profile(ctx, &p.req)
		if err != nil {
			d.bundle.fail(p.file, err)
			continue
		}
		d.bundle.add(p.file, data)
	}
}

func (d *debugCollector) logs(ctx context.Context) {
	if d.flags.logLevel == "none" {
		return
	}
	var out bytes.Buffer
	for frame, err := range d.client.Agent().Monitor(ctx, &nomadish.MonitorRequest{LogLevel: d.flags.logLevel}) {
		if err != nil {
			if ctx.Err() == nil {
				d.bundle.fail("monitor.log", err)
			}
			break
		}
		if out.Write(frame.Data); out.Len() > debugStream {
			d.bundle.fail("monitor.log", fmt.Errorf("cut off after %d bytes", debugStream))
			break
		}
	}
	d.bundle.add("monitor.log", out.Bytes())
}

func (d *debugCollector) events(ctx context.Context) {
	req, wanted := d.flags.events()
	if !wanted {
		return
	}
	var out bytes.Buffer
	for line, err := range d.client.Events().Lines(ctx, req) {
		if err != nil {
			if ctx.Err() == nil {
				d.bundle.fail("events.ndjson", err)
			}
			break
		}
		clean, err := redact(line)
		if err != nil {
			d.bundle.fail("events.ndjson", err)
			continue
		}
		out.Write(clean)
		if out.WriteByte('\n'); out.Len() > debugStream {
			d.bundle.fail("events.ndjson", fmt.Errorf("cut off after %d bytes", debugStream))
			break
		}
	}
	d.bundle.add("events.ndjson", out.Bytes())
}

// get puts an answer in JSON into the archive, without secrets.
func (d *debugCollector) get(ctx context.Context, name, path string) {
	resp, err := d.client.Raw(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		d.bundle.fail(name, err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, debugBody+1))
	switch {
	case err != nil:
		d.bundle.fail(name, err)
	case len(body) > debugBody:
		d.bundle.fail(name, fmt.Errorf("GET %s: the answer is larger than %d bytes", path, debugBody))
	case resp.StatusCode != http.StatusOK:
		d.bundle.fail(name, fmt.Errorf("GET %s: %s (%s)", path, body[:min(len(body), 1<<10)], resp.Status))
	default:
		d.redacted(name, body)
	}
}

// json puts a value into the archive, without secrets.
func (d *debugCollector) json(name string, v any) {
	body, err := nomadish.EncodeJSON(v)
	if err != nil {
		d.bundle.fail(name, err)
		return
	}
	d.redacted(name, body)
}

func (d *debugCollector) redacted(name string, body []byte) {
	clean, err := redact(body)
	if err != nil {
		d.bundle.fail(name, err)
		return
	}
	var out bytes.Buffer
	if err := json.Indent(&out, clean, "", "  "); err != nil {
		d.bundle.fail(name, err)
		return
	}
	d.bundle.add(name, append(out.Bytes(), '\n'))
}
