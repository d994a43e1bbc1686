package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Agent are the routes of the agent that is asked.
type Agent struct{ c *Client }

// Agent returns the routes of the agent that is asked.
func (c *Client) Agent() Agent { return Agent{c} }

// Self tells of the agent.
func (a Agent) Self(ctx context.Context) (*nomadish.AgentSelf, error) {
	out, _, err := get[*nomadish.AgentSelf](ctx, a.c, "/v1/agent/self", nil)
	return out, err
}

// Members lists the servers that the agent knows.
func (a Agent) Members(ctx context.Context) (*nomadish.ServerMembers, error) {
	out, _, err := get[*nomadish.ServerMembers](ctx, a.c, "/v1/agent/members", nil)
	return out, err
}

// Servers lists the addresses of servers that the agent's client half talks to.
func (a Agent) Servers(ctx context.Context) ([]string, error) {
	out, _, err := get[[]string](ctx, a.c, "/v1/agent/servers", nil)
	return out, err
}

// Health says whether the agent's halves work. When one does not, the error holds the same
// as JSON.
func (a Agent) Health(ctx context.Context) (*nomadish.AgentHealth, error) {
	out, _, err := get[*nomadish.AgentHealth](ctx, a.c, "/v1/agent/health", nil)
	return out, err
}

// Clock is what an answer says of the clock of who gave it: it read Date, which is cut to whole
// seconds, at a moment between Sent and Received of the caller's clock.
type Clock struct{ Date, Sent, Received time.Time }

// Clock asks the agent for the time; now is the caller's clock.
func (a Agent) Clock(ctx context.Context, now func() time.Time) (Clock, error) {
	out := Clock{Sent: now()}
	resp, err := a.c.send(ctx, call{method: http.MethodGet, path: "/v1/status/leader"})
	out.Received = now()
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if out.Date, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		return out, fmt.Errorf("the answer's date: %w", err)
	}
	return out, nil
}

// Skew is how far the clock that answered is ahead, behind where negative; what the journey and
// whole seconds leave open is not counted.
func (c Clock) Skew() time.Duration {
	ahead := c.Date.Sub(c.Received.Round(0))
	behind := c.Sent.Round(0).Sub(c.Date.Add(time.Second))
	return max(ahead, 0) - max(behind, 0)
}

// Status are the routes about the servers.
type Status struct{ c *Client }

// Status returns the routes about the servers.
func (c *Client) Status() Status { return Status{c} }

// Leader returns the leader's address.
func (s Status) Leader(ctx context.Context) (string, error) {
	out, _, err := get[string](ctx, s.c, "/v1/status/leader", nil)
	return out, err
}

// LeaderOf returns the address of another region's leader.
func (s Status) LeaderOf(ctx context.Context, region string) (string, error) {
	out, _, err := get[string](ctx, s.c, "/v1/status/leader", &Query{Region: region})
	return out, err
}

// Peers returns the addresses of the servers that vote.
func (s Status) Peers(ctx context.Context) ([]string, error) {
	out, _, err := get[[]string](ctx, s.c, "/v1/status/peers", nil)
	return out, err
}

// Regions lists the regions that are known.
func (s Status) Regions(ctx context.Context) ([]string, error) {
	out, _, err := get[[]string](ctx, s.c, "/v1/regions", nil)
	return out, err
}

// Operator are the routes for who runs the cluster.
type Operator struct{ c *Client }

// Operator returns the routes for who runs the cluster.
func (c *Client) Operator() Operator { return Operator{c} }

// SchedulerConfig reads the scheduler configuration.
func (o Operator) SchedulerConfig(ctx context.Context, q *Query) (*nomadish.SchedulerConfiguration, Meta, error) {
	out, meta, err := get[nomadish.SchedulerConfigurationResponse](ctx, o.c, "/v1/operator/scheduler/configuration", q)
	return out.SchedulerConfig, meta, err
}

// SetSchedulerConfig changes the scheduler configuration, with cas only if it is still the
// one of that index, and says whether it did.
func (o Operator) SetSchedulerConfig(ctx context.Context, config *nomadish.SchedulerConfiguration, cas *uint64) (bool, error) {
	params := url.Values{}
	if cas != nil {
		params.Set("cas", strconv.FormatUint(*cas, 10))
	}
	out, err := put[nomadish.SchedulerSetConfigurationResponse](ctx, o.c, "/v1/operator/scheduler/configuration", params, config)
	return out.Updated, err
}

// ReconcileSummaries has the counts of jobs' allocations put right.
func (o Operator) ReconcileSummaries(ctx context.Context) error {
	_, err := o.c.do(ctx, call{method: http.MethodPut, path: "/v1/system/reconcile/summaries"})
	return err
}

// CollectGarbage removes from state what has ended and is not needed any more.
func (o Operator) CollectGarbage(ctx context.Context) error {
	_, err := o.c.do(ctx, call{method: http.MethodPut, path: "/v1/system/gc"})
	return err
}

// CommitIndex returns an index at or past all acknowledged writes. Servers alone may ask.
func (o Operator) CommitIndex(ctx context.Context) (uint64, error) {
	out, _, err := get[struct{ Index uint64 }](ctx, o.c, "/v1/internal/commit-index", nil)
	return out.Index, err
}

// Namespaces are the routes of namespaces.
type Namespaces struct{ c *Client }

// Namespaces returns the routes of namespaces.
func (c *Client) Namespaces() Namespaces { return Namespaces{c} }

// List lists namespaces by name.
func (n Namespaces) List(ctx context.Context, q *Query) ([]*nomadish.Namespace, Meta, error) {
	return get[[]*nomadish.Namespace](ctx, n.c, "/v1/namespaces", q)
}

// Namespace reads a namespace.
func (n Namespaces) Namespace(ctx context.Context, name string, q *Query) (*nomadish.Namespace, Meta, error) {
	return get[*nomadish.Namespace](ctx, n.c, "/v1/namespace/"+id(name), q)
}
