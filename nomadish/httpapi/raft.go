package httpapi

import (
	"context"
	"net/http"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// Raft is about the servers between which the state is replicated.
type Raft interface {
	RaftConfiguration(ctx context.Context) (*nomadish.RaftConfiguration, error)
	RemoveRaftPeer(ctx context.Context, id string) error
	// TransferLeadership makes another server the leader: by its ID, else by its address,
	// else the one that knows most.
	TransferLeadership(ctx context.Context, id, address string) (*nomadish.LeadershipTransferResponse, error)
	AutopilotHealth(ctx context.Context) (*nomadish.OperatorHealthReply, error)
	StateHashes(ctx context.Context) (*nomadish.StateHashReport, error)
	Report(ctx context.Context) (*nomadish.ServerReport, error) // of this server
}

func (a *API) raftConfiguration(r *Request) (any, error) {
	return one(r, func(ctx context.Context, _ memdb.WatchSet) (*nomadish.RaftConfiguration, uint64, error) {
		conf, err := a.back.Server.Raft.RaftConfiguration(ctx)
		if err != nil {
			return nil, 0, err
		}
		return conf, conf.Index, nil
	})
}

func (a *API) removeRaftPeer(r *Request) (any, error) {
	id, err := r.required("id")
	if err != nil {
		return nil, err
	}
	return nil, a.back.Server.Raft.RemoveRaftPeer(r.Context(), id)
}

func (a *API) transferLeadership(r *Request) (any, error) {
	return a.back.Server.Raft.TransferLeadership(r.Context(), r.Value("id"), r.Value("address"))
}

// autopilotHealth answers with 429 while not all is well, as clients expect.
func (a *API) autopilotHealth(r *Request) (any, error) {
	health, err := a.back.Server.Raft.AutopilotHealth(r.Context())
	if err != nil {
		return nil, err
	}
	if !health.Healthy {
		r.status = http.StatusTooManyRequests
	}
	return health, nil
}

func (a *API) stateHashes(r *Request) (any, error) {
	return a.back.Server.Raft.StateHashes(r.Context())
}

func (a *API) serverReport(r *Request) (any, error) {
	return a.back.Server.Raft.Report(r.Context())
}
