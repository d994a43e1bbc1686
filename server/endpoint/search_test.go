package endpoint_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

// searchWorld has jobs, a node, and evaluations.
func searchWorld(t *testing.T) *world {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	for _, id := range []string{"web", "web-admin", "api"} {
		j := newJob(id)
		j.TaskGroups[0].Tasks[0].Config = map[string]any{"image": "docker.io/Redis:7", "command": "/bin/" + id}
		j.TaskGroups[0].Services = []*nomadish.Service{{Name: id + "-http", Provider: "nomad"}}
		w.register(j)
	}
	return w
}

// A prefix finds what begins with it, whole bytes of an ID or not.
func TestSearchPrefix(t *testing.T) {
	w := searchWorld(t)
	ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerManagement})
	for _, tt := range []struct {
		prefix, context string
		want            []string
	}{
		{"web", "jobs", []string{"web", "web-admin"}},
		{"", "jobs", []string{"api", "web", "web-admin"}},
		{"WEB", "jobs", []string{}},
		{nodeID(0)[:5], "nodes", []string{nodeID(0)}},
		{nodeID(0), "nodes", []string{nodeID(0)}},
		{"zz", "nodes", []string{}},
		{"def", "namespaces", []string{"default"}},
		{"a", "node_pools", []string{"all"}},
		{"a", "volumes", []string{}},
	} {
		got, err := w.SearchPrefix(ctx, &nomadish.SearchRequest{Prefix: tt.prefix, Context: tt.context, WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
		if err != nil {
			t.Errorf("%s %q: %v", tt.context, tt.prefix, err)
			continue
		}
		if diff := cmp.Diff(map[string][]string{tt.context: tt.want}, got.Matches); diff != "" {
			t.Errorf("%s %q (-want +got):\n%s", tt.context, tt.prefix, diff)
		}
	}
	all, err := w.SearchPrefix(ctx, &nomadish.SearchRequest{Prefix: "web", Context: "all", WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
	if err != nil || len(all.Matches["jobs"]) != 2 || all.Matches["allocs"] == nil {
		t.Errorf("all: %+v, %v", all, err)
	}
	_, err = w.SearchPrefix(ctx, &nomadish.SearchRequest{Context: "nonsense"})
	wantKind(t, err, nomadish.KindInvalid, `context "nonsense" is none of those that can be searched`)
}

// No more than 20 of a kind are found, and the answer says that there are more.
func TestSearchIsTruncated(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerManagement})
	for n := range 21 {
		got, err := w.SearchPrefix(ctx, &nomadish.SearchRequest{Prefix: "job", Context: "jobs", WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
		if err != nil || got.Truncations["jobs"] || len(got.Matches["jobs"]) != n {
			t.Fatalf("with %d jobs: %+v, %v", n, got, err)
		}
		w.register(newJob(fmt.Sprintf("job-%02d", n)))
	}
	got, err := w.SearchPrefix(ctx, &nomadish.SearchRequest{Prefix: "job", Context: "jobs", WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
	if err != nil || !got.Truncations["jobs"] || len(got.Matches["jobs"]) != 20 {
		t.Errorf("with 21 jobs: %+v, %v", got, err)
	}
	fuzzy, err := w.SearchFuzzy(ctx, &nomadish.FuzzySearchRequest{Text: "job", Context: "jobs", WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
	if err != nil || !fuzzy.Truncations["jobs"] || len(fuzzy.Matches["jobs"]) != 20 {
		t.Errorf("fuzzy, with 21 jobs: %+v, %v", fuzzy, err)
	}
}

// Who may see nothing finds nothing, not even how much there is.
func TestSearchShowsWhatTheCallerMaySee(t *testing.T) {
	w := searchWorld(t)
	for _, kind := range []nomadish.CallerKind{nomadish.CallerAnonymous, nomadish.CallerNode} {
		ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: kind, ID: nodeID(0)})
		got, err := w.SearchPrefix(ctx, &nomadish.SearchRequest{Context: "all", WriteRequest: nomadish.WriteRequest{Namespace: "*"}})
		if err != nil {
			t.Fatal(err)
		}
		for context, matches := range got.Matches {
			if len(matches) > 0 || got.Truncations[context] {
				t.Errorf("%s finds %s %v", kind, context, matches)
			}
		}
		fuzzy, err := w.SearchFuzzy(ctx, &nomadish.FuzzySearchRequest{Text: "we", Context: "all", WriteRequest: nomadish.WriteRequest{Namespace: "*"}})
		if err != nil {
			t.Fatal(err)
		}
		for context, matches := range fuzzy.Matches {
			if len(matches) > 0 {
				t.Errorf("%s finds %s %v", kind, context, matches)
			}
		}
	}
}

// A text is found in names, in any case, down to images and commands; the nearer to the
// beginning of a shorter name, the better.
func TestSearchFuzzy(t *testing.T) {
	w := searchWorld(t)
	ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerManagement})
	search := func(text, context string) (*nomadish.FuzzySearchResponse, error) {
		return w.SearchFuzzy(ctx, &nomadish.FuzzySearchRequest{Text: text, Context: context, WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
	}
	got, err := search("WEB", "all")
	if err != nil {
		t.Fatal(err)
	}
	for context, want := range map[string][]nomadish.FuzzyMatch{
		"jobs":     {{ID: "web", Scope: []string{"default", "web"}}, {ID: "web-admin", Scope: []string{"default", "web-admin"}}},
		"services": {{ID: "web-http", Scope: []string{"default", "web", "g"}}, {ID: "web-admin-http", Scope: []string{"default", "web-admin", "g"}}},
		"commands": {{ID: "/bin/web", Scope: []string{"default", "web", "g", "t"}}, {ID: "/bin/web-admin", Scope: []string{"default", "web-admin", "g", "t"}}},
	} {
		if diff := cmp.Diff(want, got.Matches[context]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", context, diff)
		}
	}
	if got, err = search("redis", "jobs"); err != nil || len(got.Matches["images"]) != 3 {
		t.Errorf("images: %+v, %v", got, err)
	}
	for _, eval := range slices.Collect(w.read().Evaluations(nil)) {
		if got, err = search(eval.ID[:6], "evals"); err != nil || len(got.Matches["evals"]) == 0 {
			t.Errorf("evaluation %s: %+v, %v", eval.ID, got, err)
		}
	}
	_, err = search("w", "all")
	wantKind(t, err, nomadish.KindInvalid, `fuzzy search needs at least 2 characters, got "w"`)
}
