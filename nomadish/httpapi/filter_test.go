package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Filters see the fields of the stubs that the list shows (028, 029).
func TestFilter(t *testing.T) {
	row := &nomadish.AllocationListStub{
		ID: "a", ClientStatus: "running", JobVersion: 3,
		TaskStates: map[string]*nomadish.TaskState{"web": {State: "running"}},
	}
	for expression, want := range map[string]bool{
		`ClientStatus == "running"`:              true,
		`ClientStatus != "running"`:              false,
		`JobVersion == 3 and ID == "a"`:          true,
		`not (ID == "a")`:                        false,
		`ClientStatus matches "^run"`:            true,
		`TaskStates.web.State == "running"`:      true,
		`"web" in TaskStates`:                    true,
		`TaskStates is empty`:                    false,
		`ClientDescription is empty`:             true,
		`ID == "b" or ClientStatus contains "n"`: true,
	} {
		match, err := filter[*nomadish.AllocationListStub](expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := match(row); got != want || err != nil {
			t.Errorf("%s: got %t, %v; want %t", expression, got, err, want)
		}
	}
}

// Whatever the expression: it is refused as the caller's fault, or gives the same answer
// twice, and either within a second.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		`ID == "a"`, `not ID == a and (Status != b or JobID in c)`, `Status matches "(a+)+$"`,
		`JobSummary.Summary is not empty`, `"x" not in Datacenters`, `Meta.foo == 1`, `"/Meta/foo" == "a"`,
		`any Datacenters as d { d == "dc1" }`, `((((`, "`", `ID == "\x00"`, strings.Repeat("not ", 500) + "ID == a",
	} {
		f.Add(s)
	}
	row := job("web").Stub(&nomadish.JobSummary{Summary: map[string]nomadish.TaskGroupSummary{"g": {}}}, true)
	row.Datacenters = []string{"dc1"}
	f.Fuzz(func(t *testing.T, expression string) {
		if len(expression) > filterMax || expression == "" {
			t.Skip()
		}
		began := time.Now()
		match, err := filter[*nomadish.JobListStub](expression)
		if err == nil {
			var first bool
			if first, err = match(row); err == nil {
				if again, err := match(row); again != first || err != nil {
					t.Errorf("got %t, then %t, %v", first, again, err)
				}
			}
		}
		if err != nil && nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("got %v of kind %d, want an error of the caller", err, nomadish.KindOf(err))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// FuzzRoute: any path is answered, and an id comes through as it was escaped.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"web", "a/b", "a/versions", "ü", "..", "a%2Fb", "/", "a/b/c/d", "?x", "#"} {
		f.Add(s)
	}
	t, err := newTable((&API{}).routes())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(tt *testing.T, id string) {
		if id == "" {
			tt.Skip()
		}
		e, params := t.find("/v1/job/" + escape(id) + "/versions")
		if e == nil || e.pattern != "/v1/job/*id/versions" || params.Get("id") != id {
			tt.Errorf("%q: got %v, %v", id, e, params)
		}
		t.find(id) // does not panic
	})
}

// escape escapes every byte but letters.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// Ids keep their slashes in either form, and a job may be called as a route is.
func TestPaths(t *testing.T) {
	table, err := newTable((&API{}).routes())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/v1/job/web":                      "/v1/job/*id web",
		"/v1/job/a%2Fb":                    "/v1/job/*id a/b",
		"/v1/job/a/b":                      "/v1/job/*id a/b",
		"/v1/job/a/b/versions":             "/v1/job/*id/versions a/b",
		"/v1/job/a%2Fversions":             "/v1/job/*id a/versions",
		"/v1/job/a%2Fb/periodic-1/summary": "/v1/job/*id/summary a/b/periodic-1",
		"/v1/job/versions":                 "/v1/job/*id versions",
		"/v1/job/":                         "",
		"/v1/job":                          "",
		"/v1/jobs/":                        "",
		"/v1/node/pools":                   "/v1/node/pools ",
		"/v1/node/pool/x":                  "/v1/node/pool/:name x",
		"/v1/node/x":                       "/v1/node/:id x",
		"/v1/node/x/y":                     "",
		"":                                 "",
		"/":                                "",
	} {
		got := ""
		if e, params := table.find(path); e != nil {
			got = e.pattern + " " + params.Get("id") + params.Get("name")
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func BenchmarkJobs(b *testing.B) {
	for _, n := range []int{10, 1_000} {
		b.Run(fmt.Sprintf("jobs=%d", n), func(b *testing.B) {
			c := newCluster()
			for i := range n {
				c.put(job(fmt.Sprintf("job-%05d", i)))
			}
			benchmarkGet(b, c.api(b), "/v1/jobs")
		})
	}
}

// BenchmarkAllocationsPage reads a page of 100 out of many allocations.
func BenchmarkAllocationsPage(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		c := newCluster()
		for i := range n {
			c.allocs = append(c.allocs, &nomadish.AllocationListStub{ID: fmt.Sprintf("%08d", i), CreateIndex: uint64(i * 7919 % n), ClientStatus: "running"})
		}
		for name, query := range map[string]string{"plain": "", "filter": "&filter=ClientStatus+%3D%3D+running"} {
			b.Run(fmt.Sprintf("allocs=%d/%s", n, name), func(b *testing.B) {
				benchmarkGet(b, c.api(b), "/v1/allocations?per_page=100"+query)
			})
		}
	}
}

func benchmarkGet(b *testing.B, a *API, target string) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkWake wakes 1,000 waiters with one write and waits for their answers.
func BenchmarkWake(b *testing.B) {
	c := newCluster()
	a := c.api(b)
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		target := fmt.Sprintf("/v1/job/web?index=%d", c.index)
		waiting := newGate(1000)
		for range 1000 {
			wg.Go(func() {
				req := httptest.NewRequest(http.MethodGet, target, nil)
				waiting.enter()
				a.ServeHTTP(httptest.NewRecorder(), req.WithContext(context.WithoutCancel(req.Context())))
			})
		}
		waiting.wait()
		c.put(job("web"))
		wg.Wait()
	}
}

// gate is passed when all have entered.
type gate struct{ wg sync.WaitGroup }

func newGate(n int) *gate {
	g := &gate{}
	g.wg.Add(n)
	return g
}
func (g *gate) enter() { g.wg.Done() }
func (g *gate) wait()  { g.wg.Wait() }

// A row that is kept for a page is the same whatever order the rows come in.
func TestPageOfAnyOrder(t *testing.T) {
	rows := make([]*nomadish.Evaluation, 50)
	for i := range rows {
		rows[i] = &nomadish.Evaluation{ID: fmt.Sprint(i), CreateIndex: uint64(i * 37 % 50)}
	}
	p := pager[*nomadish.Evaluation]{order: evaluationOrder, query: Query{PerPage: 7}}
	want, token, err := p.pick(t.Context(), slices.Values(rows))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(rows)
	got, again, err := p.pick(t.Context(), slices.Values(rows))
	if err != nil || !slices.Equal(got, want) || token != again {
		t.Errorf("got %v %s, %v; want %v %s", got, again, err, want, token)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := p.pick(ctx, slices.Values(slices.Repeat(rows, 100))); err == nil {
		t.Error("a caller that is gone had its page made")
	}
}
