package api

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
)

// half is two agents of which one says nothing, as one does whose machine is paused.
type half struct{ asked []string }

func (h *half) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked = append(h.asked, r.URL.Host)
	if r.URL.Host == "silent" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

// An agent that says nothing is left for the next one, which then is asked first.
func TestFailoverLeavesSilentAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agents := &half{}
		f := &failover{next: agents, agents: []*url.URL{{Scheme: "http", Host: "silent"}, {Scheme: "http", Host: "good"}}}
		for range 2 {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/v1/jobs", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := f.RoundTrip(r)
			if err != nil || resp.StatusCode != http.StatusOK || resp.Body.Close() != nil {
				t.Errorf("answer %v, %v", resp, err)
			}
		}
		if len(agents.asked) != 3 || agents.asked[2] != "good" {
			t.Errorf("asked %q, want the silent one only once", agents.asked)
		}
	})
}
