package endpoint

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// Bounds of searches.
const (
	maxMatches   = 20  // of each kind that a search returns
	minFuzzyText = 2   // characters of a fuzzy search
	maxSearch    = 512 // characters of what is searched for
	maxFuzzy     = 100 // matches of each kind that a fuzzy search ranks
)

// kind is a kind of things that can be searched for by the beginning of its ID or name.
type kind struct {
	context    string
	permission nomadish.Permission // that shows such things
	scoped     bool                // they belong to namespaces
	ids        bool                // they are known by UUIDs
	// list lists names, each with the namespace that it belongs to, from the first that may
	// begin with the prefix.
	list func(r state.Reader, namespace, prefix string) iter.Seq2[string, string]
}

// Names of kinds, besides those that only exist as answers.
const (
	contextAll         = "all"
	contextJobs        = "jobs"
	contextAllocs      = "allocs"
	contextEvals       = "evals"
	contextDeployments = "deployment"
	contextNodes       = "nodes"
	contextNodePools   = "node_pools"
	contextNamespaces  = "namespaces"
	contextVariables   = "vars"
)

// kinds lists what can be searched for. Kinds without a list exist in the API alone: there is
// nothing of them yet.
var kinds = []kind{
	{contextJobs, nomadish.PermReadJob, true, false, func(r state.Reader, namespace, prefix string) iter.Seq2[string, string] {
		return pairs(r.JobsByPrefix(nil, namespace, prefix), func(j *nomadish.Job) (string, string) {
			return nomadish.Val(j.ID), nomadish.Val(j.Namespace)
		})
	}},
	{contextAllocs, nomadish.PermReadJob, true, true, func(r state.Reader, namespace, prefix string) iter.Seq2[string, string] {
		rows, _ := r.AllocationsByPrefix(nil, namespace, prefix) // the prefix is that of a UUID
		return pairs(rows, func(a *nomadish.Allocation) (string, string) { return a.ID, a.Namespace })
	}},
	{contextEvals, nomadish.PermReadJob, true, true, func(r state.Reader, namespace, prefix string) iter.Seq2[string, string] {
		rows, _ := r.EvaluationsByPrefix(nil, namespace, prefix) // the prefix is that of a UUID
		return pairs(rows, func(e *nomadish.Evaluation) (string, string) { return e.ID, e.Namespace })
	}},
	{contextDeployments, nomadish.PermReadJob, true, true, func(r state.Reader, namespace, prefix string) iter.Seq2[string, string] {
		rows, _ := r.DeploymentsByPrefix(nil, namespace, prefix) // the prefix is that of a UUID
		return pairs(rows, func(d *nomadish.Deployment) (string, string) { return d.ID, d.Namespace })
	}},
	{contextNodes, nomadish.PermNodeRead, false, true, func(r state.Reader, _, prefix string) iter.Seq2[string, string] {
		rows, _ := r.NodesByPrefix(nil, prefix) // the prefix is that of a UUID
		return pairs(rows, func(n *nomadish.Node) (string, string) { return n.ID, "" })
	}},
	{contextNodePools, nomadish.PermNodePoolRead, false, false, func(r state.Reader, _, prefix string) iter.Seq2[string, string] {
		return pairs(r.NodePoolsByPrefix(nil, prefix), func(p *nomadish.NodePool) (string, string) { return p.Name, "" })
	}},
	{contextNamespaces, nomadish.PermNamespaceAny, true, false, func(r state.Reader, _, prefix string) iter.Seq2[string, string] {
		return pairs(r.NamespacesByPrefix(nil, prefix), func(n *nomadish.Namespace) (string, string) { return n.Name, n.Name })
	}},
	{context: "plugins"},
	{context: "volumes"},
	{context: "host_volumes"},
	{contextVariables, nomadish.PermVariablesList, true, false, func(r state.Reader, namespace, prefix string) iter.Seq2[string, string] {
		return pairs(r.Variables(nil, namespace, prefix, nomadish.VariableName{}), func(v *nomadish.SealedVariable) (string, string) {
			return v.Path, v.Namespace
		})
	}},
	{context: "scaling_policy"},
	{context: "quotas"},
	{context: "recommendations"},
}

func pairs[T any](rows iter.Seq[T], of func(T) (string, string)) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if rows == nil {
			return
		}
		for row := range rows {
			if !yield(of(row)) {
				return
			}
		}
	}
}

// SearchPrefix finds things by the beginning of their ID or name. In what the caller may not
// see nothing is found.
func (e *Endpoint) SearchPrefix(ctx context.Context, req *nomadish.SearchRequest) (*nomadish.SearchResponse, error) {
	wanted, err := searched(req.Context, req.Prefix)
	if err != nil {
		return nil, err
	}
	r, sight := e.store.Reader(), sightOf(ctx)
	out := &nomadish.SearchResponse{Matches: map[string][]string{}, Truncations: map[string]bool{}}
	out.Index = r.Index()
	for _, k := range wanted {
		matches, more := []string{}, false
		for name := range k.find(r, sight, req.Namespace, req.Prefix) {
			if len(matches) == maxMatches {
				more = true
				break
			}
			matches = append(matches, name)
		}
		out.Matches[k.context], out.Truncations[k.context] = matches, more
	}
	return out, nil
}

// searched returns the kinds that a search is for.
func searched(context, text string) ([]kind, error) {
	if len(text) > maxSearch {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "search text has %d characters, at most %d are allowed", len(text), maxSearch)
	}
	if context == "" || context == contextAll {
		return kinds, nil
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.context == context })
	if i < 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "context %q is none of those that can be searched", context)
	}
	return kinds[i : i+1], nil
}

// find lists the names that begin with a prefix, with their namespaces.
func (k kind) find(r state.Reader, sight sight, namespace, prefix string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if k.list == nil || !k.scoped && !sight.may(k.permission, "", "") {
			return
		}
		start := prefix
		if k.ids {
			start = strings.ToLower(prefix)
			if prefix = start; !hexDigits(prefix) {
				return
			}
			if len(strings.ReplaceAll(start, "-", ""))%2 != 0 { // the store takes whole bytes
				start = start[:len(start)-1]
			}
		}
		for name, in := range k.list(r, namespace, start) {
			if !strings.HasPrefix(name, prefix) || !sight.may(k.permission, in, name) {
				continue
			}
			if !yield(name, in) {
				return
			}
		}
	}
}

// hexDigits says that text may be the beginning of a UUID.
func hexDigits(text string) bool {
	return strings.Trim(text, "0123456789abcdef-") == "" && len(text) <= 36
}

// sight is what a caller may see.
type sight struct{ nomadish.Caller }

func sightOf(ctx context.Context) sight { return sight{nomadish.CallerFrom(ctx)} }

func (s sight) may(p nomadish.Permission, namespace, name string) bool {
	return s.Check(p, namespace, name) == nil
}

// SearchFuzzy finds things by what their names hold, in any case of letters, and by the
// beginning of their ID where they have no name.
func (e *Endpoint) SearchFuzzy(ctx context.Context, req *nomadish.FuzzySearchRequest) (*nomadish.FuzzySearchResponse, error) {
	wanted, err := searched(req.Context, req.Text)
	if err != nil {
		return nil, err
	}
	if len([]rune(req.Text)) < minFuzzyText {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "fuzzy search needs at least %d characters, got %q", minFuzzyText, req.Text)
	}
	r := e.store.Reader()
	f := &fuzzy{text: strings.ToLower(req.Text), found: map[string][]ranked{}, reader: r, sight: sightOf(ctx), namespace: req.Namespace}
	for _, k := range wanted {
		f.look(k, req.Text)
	}
	return f.response(r.Index()), nil
}

// fuzzy is one fuzzy search.
type fuzzy struct {
	text      string // in lower case
	reader    state.Reader
	sight     sight
	namespace string
	found     map[string][]ranked
}

// ranked is a match and where in the name it lies.
type ranked struct {
	nomadish.FuzzyMatch
	at int
}

func (f *fuzzy) look(k kind, text string) {
	f.found[k.context] = []ranked{} // what was looked for is in the answer
	switch k.context {
	case contextJobs:
		f.jobs()
	case contextAllocs:
		for a := range f.reader.AllocationsByNamespace(nil, f.namespace) {
			if f.sight.may(nomadish.PermReadJob, a.Namespace, "") {
				f.match(contextAllocs, a.Name, a.Namespace, a.ID)
			}
		}
	case contextNodes:
		for n := range f.reader.Nodes(nil) {
			if f.sight.may(nomadish.PermNodeRead, "", "") {
				f.match(contextNodes, n.Name, n.ID)
			}
		}
	case contextNodePools, contextNamespaces:
		for name := range k.find(f.reader, f.sight, f.namespace, "") {
			f.match(k.context, name)
		}
	default:
		for id := range k.find(f.reader, f.sight, f.namespace, text) {
			f.match(k.context, id)
		}
	}
}

// jobs looks into jobs, down to their tasks.
func (f *fuzzy) jobs() {
	for j := range f.reader.Jobs(nil, f.namespace) {
		namespace, id := nomadish.Val(j.Namespace), nomadish.Val(j.ID)
		if !f.sight.may(nomadish.PermReadJob, namespace, "") {
			continue
		}
		f.match(contextJobs, nomadish.Val(j.Name), namespace, id)
		for _, g := range j.TaskGroups {
			f.group(g, namespace, id)
		}
	}
}

func (f *fuzzy) group(g *nomadish.TaskGroup, namespace, job string) {
	name := nomadish.Val(g.Name)
	f.match("groups", name, namespace, job)
	for _, s := range g.Services {
		f.match("services", s.Name, namespace, job, name)
	}
	for _, t := range g.Tasks {
		f.match("tasks", t.Name, namespace, job, name)
		for _, s := range t.Services {
			f.match("services", s.Name, namespace, job, name, t.Name)
		}
		for option, context := range map[string]string{"image": "images", "command": "commands", "class": "classes"} {
			if text, ok := t.Config[option].(string); ok {
				f.match(context, text, namespace, job, name, t.Name)
			}
		}
	}
}

// match takes a name that holds the text.
func (f *fuzzy) match(context, name string, scope ...string) {
	at := strings.Index(strings.ToLower(name), f.text)
	if at < 0 || len(f.found[context]) == maxFuzzy {
		return
	}
	f.found[context] = append(f.found[context], ranked{nomadish.FuzzyMatch{ID: name, Scope: scope}, at})
}

// response ranks what was found: a match near the beginning of a short name comes first.
func (f *fuzzy) response(index uint64) *nomadish.FuzzySearchResponse {
	out := &nomadish.FuzzySearchResponse{Matches: map[string][]nomadish.FuzzyMatch{}, Truncations: map[string]bool{}}
	out.Index = index
	for context, found := range f.found {
		slices.SortStableFunc(found, func(a, b ranked) int {
			return cmp.Or(a.at-b.at, len(a.ID)-len(b.ID), strings.Compare(a.ID, b.ID), slices.Compare(a.Scope, b.Scope))
		})
		out.Truncations[context] = len(found) > maxMatches
		matches := make([]nomadish.FuzzyMatch, 0, maxMatches)
		for _, m := range found[:min(len(found), maxMatches)] {
			matches = append(matches, m.FuzzyMatch)
		}
		out.Matches[context] = matches
	}
	return out
}
