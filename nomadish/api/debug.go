package api

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Monitor yields the lines of an agent's log as they are written, as Files.Stream does.
func (a Agent) Monitor(ctx context.Context, req *nomadish.MonitorRequest) iter.Seq2[*nomadish.StreamFrame, error] {
	params := elsewhere(req.NodeID, req.ServerID)
	params.Set("log_level", first(req.LogLevel, "info"))
	params.Set("log_json", strconv.FormatBool(req.LogJSON))
	return Files(a).frames(ctx, "/v1/agent/monitor", params)
}

// elsewhere names another agent than the one that is asked.
func elsewhere(nodeID, serverID string) url.Values {
	params := url.Values{}
	if nodeID != "" {
		params.Set("node_id", nodeID)
	}
	if serverID != "" {
		params.Set("server_id", serverID)
	}
	return params
}

// maxProfile bounds what a profile may hold.
const maxProfile = 256 << 20

// Profile returns a profile of an agent.
func (a Agent) Profile(ctx context.Context, req *nomadish.ProfileRequest) ([]byte, error) {
	params := elsewhere(req.NodeID, req.ServerID)
	params.Set("seconds", strconv.Itoa(max(req.Seconds, 1)))
	if req.Debug != 0 {
		params.Set("debug", strconv.Itoa(req.Debug))
	}
	if req.GC {
		params.Set("gc", "1")
	}
	path := "/v1/agent/pprof/" + id(req.Name)
	resp, err := a.c.send(ctx, call{method: http.MethodGet, path: path, params: params})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProfile+1))
	if err == nil && len(body) > maxProfile {
		err = fmt.Errorf("GET %s: the profile is larger than %d bytes", path, maxProfile)
	}
	return body, err
}

// Host describes the machine of an agent: of the node, of the server, or if both are empty
// of the one that is asked.
func (a Agent) Host(ctx context.Context, nodeID, serverID string) (*nomadish.HostInfo, error) {
	var out *nomadish.HostInfo
	_, err := a.c.do(ctx, call{method: http.MethodGet, path: "/v1/agent/host", params: elsewhere(nodeID, serverID), out: &out})
	return out, err
}

// Schedulers lists the workers of the server that is asked.
func (a Agent) Schedulers(ctx context.Context) (*nomadish.SchedulerWorkers, error) {
	out, _, err := get[*nomadish.SchedulerWorkers](ctx, a.c, "/v1/agent/schedulers", nil)
	return out, err
}

// SchedulersConfig says how many workers the server that is asked has.
func (a Agent) SchedulersConfig(ctx context.Context) (*nomadish.SchedulerWorkerConfig, error) {
	out, _, err := get[*nomadish.SchedulerWorkerConfig](ctx, a.c, "/v1/agent/schedulers/config", nil)
	return out, err
}

// SetSchedulersConfig says how many workers the server that is asked has from now on, until
// it ends, and for which types of jobs: "_core" must be among them.
func (a Agent) SetSchedulersConfig(ctx context.Context, workers int, types []string) (*nomadish.SchedulerWorkerConfig, error) {
	return put[*nomadish.SchedulerWorkerConfig](ctx, a.c, "/v1/agent/schedulers/config", nil,
		&nomadish.SchedulerWorkerConfig{NumSchedulers: workers, EnabledSchedulers: types})
}

// Metrics returns the metrics of the agent that is asked.
func (a Agent) Metrics(ctx context.Context) (*nomadish.MetricsSummary, error) {
	out, _, err := get[*nomadish.MetricsSummary](ctx, a.c, "/v1/metrics", nil)
	return out, err
}
