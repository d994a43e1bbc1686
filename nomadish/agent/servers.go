package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// askServer asks another server of the cluster how it is.
func (a *Agent) askServer(ctx context.Context, id string) (*nomadish.ServerReport, error) {
	return ask(a, id, func(c *api.Client) (*nomadish.ServerReport, error) { return c.Operator().ServerReport(ctx) })
}

// askState asks another server for its state.
func (a *Agent) askState(ctx context.Context, id string) (io.ReadCloser, error) {
	return ask(a, id, func(c *api.Client) (io.ReadCloser, error) { return c.Operator().ServerState(ctx) })
}

// askBootstrap asks another server to begin a cluster with this one.
func (a *Agent) askBootstrap(ctx context.Context, id string, o *nomadish.BootstrapOffer) (*nomadish.BootstrapAnswer, error) {
	return ask(a, id, func(c *api.Client) (*nomadish.BootstrapAnswer, error) { return c.Operator().OfferBootstrap(ctx, o) })
}

// askWrapKey asks another server for a wrapping key.
func (a *Agent) askWrapKey(ctx context.Context, id string, req *nomadish.WrapKeyRequest) (*nomadish.WrapKeyResponse, error) {
	return ask(a, id, func(c *api.Client) (*nomadish.WrapKeyResponse, error) { return c.Operator().WrapKey(ctx, req) })
}

// askLeader asks the leader, which is another server, for its commit index.
func (a *Agent) askLeader(ctx context.Context) (uint64, error) {
	way, err := (*router)(a).Leader(ctx)
	if err != nil {
		return 0, err
	}
	if way == nil { // since a moment ago this server leads
		return a.server.CommitIndex(ctx)
	}
	c, err := api.New(api.Config{Region: a.cfg.Region, Transport: way})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.Operator().CommitIndex(ctx)
}

func ask[T any](a *Agent, id string, question func(*api.Client) (T, error)) (none T, err error) {
	way, err := a.hub.Server(id)
	if err != nil {
		return none, err
	}
	c, err := api.New(api.Config{Region: a.cfg.Region, Transport: way})
	if err != nil {
		return none, err
	}
	defer c.Close()
	return question(c)
}

// leaderWay is the way to the server that leads. A request ends when another server leads: the old leader
// may have been cut off, and not answer for as long as its connection seems alive.
type leaderWay struct {
	way    http.RoundTripper
	id     string
	leader func() (id string, ok bool)
}

// leaderLook is the time between two looks at who leads, while a request is under way.
const leaderLook = 50 * time.Millisecond

var errLeaderChanged = errors.New("another server leads now")

// RoundTrip makes a request to the leader.
func (l *leaderWay) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	answered := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(leaderLook)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if id, ok := l.leader(); ok && id != l.id {
					cancel(errLeaderChanged)
					return
				}
			case <-answered:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	resp, err := l.way.RoundTrip(r.WithContext(ctx))
	close(answered)
	<-watched
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errLeaderChanged) {
			err = nomadish.Errorf(nomadish.KindUnknown, "outcome is unknown: %w", cause)
		}
		cancel(nil)
		return nil, err
	}
	if errors.Is(context.Cause(ctx), errLeaderChanged) { // its answer came just before; the body would be cut off
		_ = resp.Body.Close() // it is of no use
		return nil, nomadish.Errorf(nomadish.KindUnknown, "outcome is unknown: %w", errLeaderChanged)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols { // what follows then has no end of its own
		resp.Body = &leaderBody{ReadCloser: resp.Body, done: func() { cancel(nil) }}
	}
	return resp, nil
}

// leaderBody frees what its request holds when it has been read.
type leaderBody struct {
	io.ReadCloser
	done func()
}

// Close closes the body.
func (b *leaderBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
