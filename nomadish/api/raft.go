package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/nomadish/nomadish/nomadish"
)

// RaftConfiguration lists the servers between which the state is replicated.
func (o Operator) RaftConfiguration(ctx context.Context, q *Query) (*nomadish.RaftConfiguration, error) {
	out, _, err := get[*nomadish.RaftConfiguration](ctx, o.c, "/v1/operator/raft/configuration", q)
	return out, err
}

// RemoveRaftPeer removes a server from the cluster, by its ID.
func (o Operator) RemoveRaftPeer(ctx context.Context, id string) error {
	_, err := o.c.do(ctx, call{method: http.MethodDelete, path: "/v1/operator/raft/peer", params: url.Values{"id": {id}}})
	return err
}

// TransferLeadership makes another server the leader, by its ID or address; where both are
// empty the one that knows most.
func (o Operator) TransferLeadership(ctx context.Context, id, address string) (*nomadish.LeadershipTransferResponse, error) {
	params := url.Values{}
	if id != "" {
		params.Set("id", id)
	}
	if address != "" {
		params.Set("address", address)
	}
	return put[*nomadish.LeadershipTransferResponse](ctx, o.c, "/v1/operator/raft/transfer-leadership", params, nil)
}

// StateHashes compares the states of the servers.
func (o Operator) StateHashes(ctx context.Context) (*nomadish.StateHashReport, error) {
	out, _, err := get[*nomadish.StateHashReport](ctx, o.c, "/v1/operator/state-hashes", nil)
	return out, err
}

// ServerReport asks a server how it is. Servers alone may ask.
func (o Operator) ServerReport(ctx context.Context) (*nomadish.ServerReport, error) {
	out, _, err := get[*nomadish.ServerReport](ctx, o.c, "/v1/internal/server", nil)
	return out, err
}

// AutopilotConfig reads what is wanted of the servers.
func (o Operator) AutopilotConfig(ctx context.Context, q *Query) (*nomadish.AutopilotConfiguration, error) {
	out, _, err := get[*nomadish.AutopilotConfiguration](ctx, o.c, "/v1/operator/autopilot/configuration", q)
	return out, err
}

// SetAutopilotConfig changes what is wanted of the servers, with cas only if it is still the
// one of that index, and says whether it did.
func (o Operator) SetAutopilotConfig(ctx context.Context, config *nomadish.AutopilotConfiguration, cas *uint64) (bool, error) {
	params := url.Values{}
	if cas != nil {
		params.Set("cas", fmt.Sprint(*cas))
	}
	return put[bool](ctx, o.c, "/v1/operator/autopilot/configuration", params, config)
}

// AutopilotHealth tells how well the servers are. That not all is well is no error.
func (o Operator) AutopilotHealth(ctx context.Context) (*nomadish.OperatorHealthReply, error) {
	resp, err := o.c.Raw(ctx, http.MethodGet, "/v1/operator/autopilot/health", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err != nil {
		return nil, err
	}
	out := &nomadish.OperatorHealthReply{}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusTooManyRequests && json.Valid(body) {
		return out, json.Unmarshal(body, out)
	}
	return nil, &Error{StatusCode: resp.StatusCode, Body: string(body)}
}

// maxHealth is the longest answer about the servers' health.
const maxHealth = 1 << 20
