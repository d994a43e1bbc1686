package agent

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"hash/fnv"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/httpapi"
)

var updateAccess = flag.Bool("update", false, "write the columns of testdata/access.txt anew, from the permissions that it names and the rights of who asks")

var allAccess = flag.Bool("all", false, "ask for every route also through a follower and another region")

const accessFile = "testdata/access.txt"

// askers are who asks, in the order of the table's columns.
var askers = []string{
	"none", "expired", "revoked", "unknown", "as-server", "node", "task-ended", "task-forged",
	"other", "web", "deny", "task", "task-policy", "read", "write", "ops-read", "ops-write", "management",
}

// granted says what Nomad's documentation gives to who asks, in the namespace "web-admin". It is
// written without a look at package acl, which the agents under test use.
var granted = map[string]string{
	"task":        "variables:list variables:read",
	"task-policy": documentedRead + " variables:list variables:read",
	"read":        documentedRead + " policy-read",
	"write":       documentedRead + " " + documentedWrite + " variables:list variables:read variables:write variables:destroy",
	"ops-read":    "node:read agent:read operator:read quota:read node_pool:read",
	"ops-write": "node:read node:write agent:read agent:write operator:read operator:write quota:read quota:write node_pool:read node_pool:write node_pool:delete " +
		"operator:keyring-read operator:keyring-rotate operator:keyring-delete",
}

const (
	documentedRead  = "namespace:list-jobs namespace:parse-job namespace:read-job namespace:list-scaling-policies namespace:read-scaling-policy namespace:read-job-scaling namespace:*"
	documentedWrite = "namespace:submit-job namespace:dispatch-job namespace:read-logs namespace:read-fs namespace:alloc-exec namespace:alloc-lifecycle namespace:scale-job"
)

// expected says whether somebody has what a route needs: permissions joined by "&", which binds
// less, and "|".
func expected(who, needs string) bool {
	if needs == "none" {
		return true
	}
	if slices.Contains([]string{"expired", "revoked", "unknown", "task-ended", "task-forged"}, who) {
		return false
	}
	nobody := slices.Contains([]string{"none", "as-server", "node"}, who)
	for all := range strings.SplitSeq(needs, "&") {
		one := false
		for p := range strings.SplitSeq(all, "|") {
			switch p = strings.TrimSpace(p); p {
			case "good-token":
				one = true
			case "any-rights":
				one = one || !nobody
			case "some-namespace":
				one = one || slices.Contains([]string{"other", "web", "deny", "task-policy", "read", "write", "management"}, who)
			case "that-node":
				one = one || who == "node"
			case "a-token":
				one = one || !nobody && !strings.HasPrefix(who, "task")
			case "server", "one-time-token", "session-of-that-node": // nobody has that
			default:
				one = one || who == "management" || slices.Contains(strings.Fields(granted[who]), p)
			}
		}
		if !one {
			return false
		}
	}
	return true
}

// line is one of the table: a route, what it needs by its documentation, and who is let in.
type line struct{ method, path, needs, columns string }

func readAccess(t *testing.T) (lines []line) {
	t.Helper()
	f, err := os.Open(accessFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		text := s.Text()
		if strings.HasPrefix(text, "#") || strings.TrimSpace(text) == "" {
			continue
		}
		fields := strings.Fields(text)
		columns := fields[len(fields)-1]
		end := len(fields) - 1
		if strings.Trim(columns, "+-") != "" {
			columns, end = "", len(fields)
		}
		lines = append(lines, line{fields[0], fields[1], strings.Join(fields[2:end], " "), columns})
	}
	return lines
}

// row is what the columns have to be.
func (l line) row() string {
	var b strings.Builder
	for _, who := range askers {
		if expected(who, l.needs) {
			b.WriteByte('+')
		} else {
			b.WriteByte('-')
		}
	}
	return b.String()
}

// The table names every route of the API, with what it needs; who is let in follows from that.
func TestAccessTable(t *testing.T) {
	lines := readAccess(t)
	known := map[string]bool{}
	for _, l := range lines {
		known[l.method+" "+l.path] = true
		if want := l.row(); l.columns != want && !*updateAccess {
			t.Errorf("%s %s: the columns are %s, but %q gives %s", l.method, l.path, l.columns, l.needs, want)
		}
	}
	for _, r := range (&httpapi.API{}).Routes() {
		for _, m := range r.Methods {
			if name := m + " " + r.Path; !known[name] {
				t.Errorf("%s is not in %s: add what its documentation says that it needs", name, accessFile)
			} else {
				delete(known, name)
			}
		}
	}
	for name := range known {
		t.Errorf("%s is in %s, but is no route", name, accessFile)
	}
	if *updateAccess {
		writeAccess(t, lines)
	}
}

func writeAccess(t *testing.T, lines []line) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Who may ask what. Each line is a route, what it needs by its documentation, and for every asker\n")
	b.WriteString("# whether it is let in (+) or gets 403 (-). The askers, in the order of the columns, are:\n#\n")
	for i, who := range askers {
		fmt.Fprintf(&b, "#   %2d %s\n", i+1, who)
	}
	b.WriteString("#\n# All ask about things in the namespace \"web-admin\". See access_world_test.go for their policies.\n\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "%-6s %-48s %-56s %s\n", l.method, l.path, l.needs, l.row())
	}
	if err := os.WriteFile(accessFile, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAccess asks for every route as everybody, of the leader, a follower, the client node and a
// server of another region, and holds the answers against the table. What is refused is asked first:
// it leaves all as it is. Who passes everything on in the same way is asked for some of the routes
// only, unless -all says otherwise.
func TestAccess(t *testing.T) {
	g := newGuardedCluster(t)
	agents := []*asker{g.ask(g.server), g.ask(g.node), g.ask(g.follower), g.ask(g.other)}
	if agents[3].region = nomadish.DefaultRegion; !*allAccess {
		agents[2].sample, agents[3].sample = 6, 6
	}
	lines := readAccess(t)
	asked, wrong := map[string]int{}, 0
	for _, allowed := range []bool{false, true} {
		for _, l := range ordered(lines) {
			path, body := g.example(l)
			for _, via := range agents {
				if !via.asks(l) {
					continue
				}
				for i, who := range askers {
					if (l.columns[i] == '+' && !via.shut(l)) != allowed {
						continue
					}
					asked[via.name]++
					status, text := via.do(who, l.method, path, body)
					if (status != http.StatusForbidden) != allowed || status == http.StatusForbidden && text != "Permission denied" {
						wrong++
						t.Errorf("%s of %s: %s %s: %d %.120s, want it to be let in: %t", who, via.name, l.method, path, status, text, allowed)
					}
				}
			}
		}
	}
	t.Logf("%d routes, %d askers: %v requests through leader, node, follower and another region, %d unexpected answers", len(lines), len(askers), asked, wrong)
}

// asks says whether a line is among those that are asked through an agent: of another region's only
// what runs in a region.
func (a *asker) asks(l line) bool {
	h := fnv.New32a()
	h.Write([]byte(l.method + l.path))
	if h.Sum32()%a.sample != 0 {
		return false
	}
	if a.region == "" {
		return true
	}
	return l.route().Where != httpapi.OnAgent
}

// shut says whether a line is of what agents of a region ask each other: nobody else is let in there
// from another region.
func (a *asker) shut(l line) bool { return a.region != "" && l.route().Permission == nomadish.PermNode }

func (l line) route() httpapi.Route {
	routes := (&httpapi.API{}).Routes()
	return routes[slices.IndexFunc(routes, func(r httpapi.Route) bool {
		return r.Path == l.path && slices.Contains(r.Methods, l.method)
	})]
}

// ordered puts what ends things last.
func ordered(lines []line) []line {
	rank := func(l line) int {
		switch {
		case strings.HasPrefix(l.path, "/v1/search"), strings.HasSuffix(l.path, "/parse"), strings.HasPrefix(l.path, "/v1/validate"):
			return 0
		case strings.HasSuffix(l.path, "/purge"):
			return 3
		case l.method == http.MethodDelete || strings.HasSuffix(l.path, "/gc"):
			return 2
		case l.method != http.MethodGet:
			return 1
		}
		return 0
	}
	out := slices.Clone(lines)
	slices.SortStableFunc(out, func(a, b line) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// bodies are what requests say that are understood only with one. Where a body names a
// namespace, the query does not.
var bodies = map[string]string{
	"/v1/jobs":                             `{"Job": {"ID": "new", "Namespace": "web-admin", "Type": "batch", "Datacenters": ["*"], "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "function"}]}]}}`,
	"/v1/validate/job":                     `{"Job": {"ID": "new", "Namespace": "web-admin"}}`,
	"/v1/job/*id":                          `{"Job": {"ID": "web", "Namespace": "web-admin"}}`,
	"/v1/job/*id/plan":                     `{"Job": {"ID": "web", "Namespace": "web-admin"}}`,
	"/v1/job/*id/revert":                   `{"JobID": "web", "JobVersion": 7, "Namespace": "web-admin"}`,
	"/v1/job/*id/stable":                   `{"JobID": "web", "JobVersion": 7, "Namespace": "web-admin"}`,
	"/v1/job/*id/evaluate":                 `{"JobID": "web", "Namespace": "web-admin"}`,
	"/v1/job/*id/scale":                    `{"Target": {"Group": "web"}, "Count": 9, "Namespace": "web-admin"}`,
	"/v1/job/*id/versions/:tag/tag":        `{"Name": "x", "Version": 7, "Namespace": "web-admin"}`,
	"/v1/jobs/parse":                       `{"JobHCL": "x"}`,
	"/v1/search":                           `{"Prefix": "w", "Context": "jobs"}`,
	"/v1/search/fuzzy":                     `{"Text": "we", "Context": "jobs"}`,
	"/v1/var/*path":                        `{"Namespace": "web-admin", "Path": "nomad/jobs/web", "Items": {"a": "b"}}`,
	"/v1/internal/node/:node":              `{"ID": "x"}`,
	"/v1/client/allocation/:alloc/signal":  `{"Task": "task"}`,
	"/v1/client/allocation/:alloc/restart": `{"TaskName": "nobody"}`,
}

// example makes a request of a line: of what is there, or where it would end what others need, of
// what is not.
func (g *guarded) example(l line) (path, body string) {
	body = bodies[l.path]
	query := "?namespace=web-admin"
	if strings.Contains(body, `"Namespace"`) && l.method != http.MethodGet && l.method != http.MethodDelete {
		query = "?"
	} else if l.method == http.MethodGet || l.method == http.MethodDelete {
		body = ""
	} else if body == "" {
		body = "{}"
	}
	switch {
	case strings.HasPrefix(l.path, "/v1/event/"):
		query += "&topic=Job"
	case strings.HasSuffix(l.path, "-can"), strings.HasSuffix(l.path, "/can-i"):
		query += "&permission=submit-job"
	case strings.HasPrefix(l.path, "/v1/client/fs/"):
		query += "&path=/&task=task&type=stdout&follow=false"
	case strings.HasSuffix(l.path, "/exec"):
		query += "&task=task&command=%5B%22x%22%5D"
	case strings.HasSuffix(l.path, "/port-forward"):
		query += "&task=task&port=http"
	case strings.HasPrefix(l.path, "/v1/client/"):
		query += "&node_id=" + g.node.client.NodeID()
	case strings.Contains(l.path, "/pprof/"):
		query += "&seconds=0"
	}
	names := map[string]string{
		"*id": "web", ":alloc": g.alloc.ID, ":node": g.node.client.NodeID(), ":tag": "x", "*path": "nomad/jobs/web", "*image": "x",
		":id": "00000000-0000-4000-8000-000000000000", ":name": "x",
	}
	switch {
	case strings.HasPrefix(l.path, "/v1/allocation/"):
		names[":id"] = g.alloc.ID
	case strings.HasPrefix(l.path, "/v1/evaluation/"):
		names[":id"] = g.eval
	case strings.HasPrefix(l.path, "/v1/node/:id"):
		names[":id"] = g.node.client.NodeID()
	case strings.HasPrefix(l.path, "/v1/scaling/"):
		names[":id"] = g.scaling()
	case strings.HasPrefix(l.path, "/v1/namespace/") && l.method == http.MethodGet:
		names[":name"] = "web-admin"
	case strings.HasPrefix(l.path, "/v1/acl/policy/") && l.method == http.MethodGet:
		names[":name"] = "read"
	case strings.HasPrefix(l.path, "/v1/node/pool/"):
		names[":name"] = "default"
	case strings.Contains(l.path, "/pprof/"):
		names[":name"] = "cmdline"
	}
	parts := strings.Split(l.path, "/")
	for i, p := range parts {
		parts[i] = cmp.Or(names[p], p)
	}
	return strings.Join(parts, "/") + query, body
}

// scaling is the ID of the job's scaling policy.
func (g *guarded) scaling() string {
	job, err := g.store().Job(nil, "web-admin", "web")
	if err != nil || job.TaskGroups[0].Scaling == nil {
		return "gone"
	}
	return job.TaskGroups[0].Scaling.ID
}
