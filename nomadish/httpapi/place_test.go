package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// atlas is a router that knows the regions "us", "eu" and "here", and answers for them with what it was
// asked.
type atlas struct{ routerOf }

func (a atlas) Region(_ context.Context, region string) (http.RoundTripper, error) {
	switch region {
	case "us", "eu":
		return passed(region), nil
	case "gone":
		return transport.First("region gone", nil), nil
	}
	return a.routerOf.Region(context.Background(), region)
}

// passed answers for a region with what it got.
type passed string

func (p passed) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	said := string(p) + " region=" + r.URL.Query().Get("region") + " " + body
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(said))}, nil
}

// tokens knows which tokens are global.
type tokens struct{}

func (tokens) SharedRows(context.Context, memdb.WatchSet, string, uint64, int) (*nomadish.SharedRows, uint64, error) {
	return &nomadish.SharedRows{}, 1, nil
}
func (tokens) GlobalToken(accessor string) bool { return accessor == "global" }
func (tokens) GlobalLogin(method string) bool   { return method == "sso" }

// Where a request runs: in the region that the query names, or else the job; what all regions share is
// changed in the authoritative one, and so are tokens of all regions and those alone. Whoever gets it
// then has the whole body, and is told that it is the right one.
func TestRegionOfRequests(t *testing.T) {
	a := newCluster().api(t, func(c *Config, b *Backends) {
		c.Region, c.Authoritative = "here", "us"
		b.Router, b.Server.Shared = atlas{routerOf{newCluster()}}, tokens{}
	})
	const job = `{"Job": {"ID": "x", "Region": "%", "TaskGroups": []}}`
	for _, tt := range []struct {
		method, target, body string
		want                 string // of the answer; or what it begins with
		status               int    // default 200
	}{
		{method: "GET", target: "/v1/jobs?region=eu", want: "eu region=eu "},
		{method: "GET", target: "/v1/jobs?region=here", want: "[]"},
		{method: "GET", target: "/v1/jobs?region=mars", want: "No path to region", status: 500},
		{method: "GET", target: "/v1/jobs?region=gone", want: "no path to region gone", status: 503},
		{method: "PUT", target: "/v1/jobs", body: strings.Replace(job, "%", "eu", 1), want: "eu region=eu " + strings.Replace(job, "%", "eu", 1)},
		{method: "PUT", target: "/v1/jobs", body: strings.Replace(job, "%", "mars", 1), want: "No path to region", status: 500},
		{method: "PUT", target: "/v1/jobs", body: strings.Replace(job, "%", "global", 1), want: `{"EvalID"`},
		{method: "PUT", target: "/v1/jobs?region=here", body: strings.Replace(job, "%", "eu", 1), want: `{"EvalID"`},
		{method: "PUT", target: "/v1/jobs?region=us", body: strings.Replace(job, "%", "eu", 1), want: "us region=us "},
		{method: "PUT", target: "/v1/namespace", body: `{"Name": "a"}`, want: `us region=us {"Name": "a"}`},
		{method: "DELETE", target: "/v1/namespace/a?region=eu", want: "us region=us "},
		{method: "PUT", target: "/v1/acl/token", body: `{"Global": true}`, want: `us region=us {"Global": true}`},
		{method: "PUT", target: "/v1/acl/token/global", body: `{}`, want: "us region=us {}"},
		{method: "PUT", target: "/v1/acl/token", body: `{"AccessorID": "global"}`, want: "us region=us "},
		{method: "PUT", target: "/v1/acl/token?region=eu", body: `{"Global": true}`, want: "eu region=eu "},
		{method: "DELETE", target: "/v1/acl/token/global", want: "us region=us "},
		{method: "PUT", target: "/v1/acl/login", body: `{"AuthMethodName": "sso"}`, want: "us region=us "},
		{method: "PUT", target: "/v1/acl/bootstrap", want: "us region=us "},
		{method: "GET", target: "/v1/agent/monitor?region=eu&server_id=s", want: "eu region=eu "},
	} {
		t.Run(tt.method+" "+tt.target+" "+tt.body, func(t *testing.T) {
			got := ask(t, a, tt.method, tt.target, tt.body)
			if tt.status == 0 {
				tt.status = http.StatusOK
			}
			if got.status != tt.status || !strings.HasPrefix(got.body, tt.want) {
				t.Errorf("got %d %q, want %d %q", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

// What agents of a region ask each other nobody asks from another region.
func TestNothingInternalFromAfar(t *testing.T) {
	a := newCluster().api(t)
	afar := transport.Origin{Peer: transport.Peer{Region: "eu"}, Hops: 1}
	for _, r := range a.Routes() {
		if r.Permission != nomadish.PermNode && r.Permission != nomadish.PermServer {
			continue
		}
		req := httptest.NewRequestWithContext(transport.WithOrigin(t.Context(), afar), r.Methods[0], strings.Replace(r.Path, ":node", nodeID, 1), strings.NewReader("{}"))
		req.Header.Set(headerNodeID, nodeID)
		req.Header.Set(headerNodeSecret, "node secret")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, req)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s %s: %d", r.Methods[0], r.Path, w.Code)
		}
	}
}
