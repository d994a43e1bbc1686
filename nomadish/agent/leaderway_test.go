package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// roundTrip is a way made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A request to a leader that is cut off ends soon after another one leads, with an error that says that nobody
// knows what became of it; without an election it waits as long as its caller.
func TestRequestsEndWithTheLeadership(t *testing.T) {
	silent := roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	synctest.Test(t, func(t *testing.T) {
		var leader atomic.Pointer[string]
		leader.Store(nomadish.Ptr("old"))
		way := &leaderWay{way: silent, id: "old", leader: func() (string, bool) { id := *leader.Load(); return id, id != "" }}
		began := time.Now()
		time.AfterFunc(time.Second, func() { leader.Store(nomadish.Ptr("")) })
		time.AfterFunc(2*time.Second, func() { leader.Store(nomadish.Ptr("new")) })
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://peer/v1/jobs", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := way.RoundTrip(req); nomadish.KindOf(err) != nomadish.KindUnknown || errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < 2*time.Second || took > 2*time.Second+2*leaderLook {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		leader.Store(nomadish.Ptr("old"))
		if _, err := way.RoundTrip(req.WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the caller's deadline", err)
		}
	})
}

// An answer is read to its end, whoever leads by then.
func TestAnswersOutliveTheLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var leader atomic.Pointer[string]
		leader.Store(nomadish.Ptr("old"))
		way := &leaderWay{id: "old", leader: func() (string, bool) { return *leader.Load(), true }, way: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(&slow{r.Context(), strings.NewReader("all of it")})}, nil
		})}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer/v1/jobs", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := way.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		leader.Store(nomadish.Ptr("new"))
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "all of it" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// slow is a body that comes in small pieces while its request lasts.
type slow struct {
	ctx context.Context
	of  io.Reader
}

func (s *slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return s.of.Read(p[:1])
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}
