package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Permission is what a caller needs for a route. Those with a namespace are asked of the
// request's namespace; the backends check what only they can know.
type Permission = nomadish.Permission

// Where says which agent has to run a request.
type Where uint8

// The places where requests run.
const (
	OnAgent  Where = iota // the agent that was asked
	OnServer              // any server of the region
	OnLeader              // the leader of the region
	OnNode                // the client node that the request names, see [API] on locating it
)

// Limits of request bodies.
const (
	bodyDefault = 64 << 10
	bodyJob     = 8 << 20
	bodyParse   = 4 << 20 // a source of 1 MiB and its variables, as JSON strings
	bodyNode    = 4 << 20 // what nodes report
)

// Options are what a route takes besides its path.
type Options uint16

// The options of routes. Prefix is refused as Nomad does for UUIDs that are cut mid-byte.
const (
	Read       Options = 1 << iota // answers from state: consistent or stale, with index headers, may block
	PrefixID                       // ?prefix is that of a UUID
	CORS                           // browsers may call it from any origin
	Binary                         // bodies may be in the binary encoding of package codec
	Tunnel                         // becomes a websocket
	Socket                         // becomes a websocket, over which errors are told, too
	Peers                          // ?node_id and ?server_id name another agent that has to answer
	ByObject                       // the namespace that counts is that of what is asked for or written
	NodeInBody                     // the body's NodeID names the node, where ?node_id does not
	Shared                         // changes what all regions share: the authoritative one does that
	IfGlobal                       // is Shared where the token that it is about is one of all regions
)

// Handler answers one request with a value: nil for an empty body, a [Raw] or [Streamed]
// body, an [Upgraded] connection, or anything that is encoded as JSON.
type Handler func(*Request) (any, error)

// Route is one line of the table.
type Route struct {
	Methods    []string
	Path       string // ":name" is a segment, "*name" one or more of them
	Permission Permission
	Where      Where
	Options    Options
	Body       int64 // largest body; default 64 KiB
	Handle     Handler
}

func (r *Route) is(o Options) bool { return r.Options&o != 0 }

// table finds routes by path and method.
type table struct {
	byHead map[string][]*endpoint // by the path's first two segments
}

// endpoint is a path with its routes.
type endpoint struct {
	pattern  string
	segments []string
	star     int // index of the "*name" segment, or -1
	routes   map[string]*Route
	methods  []string // sorted
}

// newTable compiles routes. Each method of a path may be there once.
func newTable(routes []Route) (*table, error) {
	t := &table{byHead: map[string][]*endpoint{}}
	for i := range routes {
		r := &routes[i]
		if r.Permission == "" {
			return nil, fmt.Errorf("route %s: no permission", r.Path)
		}
		if r.Body == 0 {
			r.Body = bodyDefault
		}
		e := t.endpoint(r.Path)
		for _, m := range r.Methods {
			if e.routes[m] != nil {
				return nil, fmt.Errorf("route %s %s: twice in the table", m, r.Path)
			}
			e.routes[m] = r
			e.methods = append(e.methods, m)
		}
		slices.Sort(e.methods)
	}
	for _, es := range t.byHead {
		// More literal segments first, so that /v1/job/*id is what is left over.
		slices.SortStableFunc(es, func(a, b *endpoint) int { return b.literals() - a.literals() })
	}
	return t, nil
}

func (t *table) endpoint(pattern string) *endpoint {
	path := strings.TrimPrefix(pattern, "/")
	segments, head := strings.Split(path, "/"), headOf(path)
	for _, e := range t.byHead[head] {
		if e.pattern == pattern {
			return e
		}
	}
	e := &endpoint{pattern: pattern, segments: segments, routes: map[string]*Route{}}
	e.star = slices.IndexFunc(segments, func(s string) bool { return strings.HasPrefix(s, "*") })
	t.byHead[head] = append(t.byHead[head], e)
	return e
}

func (e *endpoint) literals() int {
	n := 0
	for _, s := range e.segments {
		if s[0] != ':' && s[0] != '*' {
			n++
		}
	}
	return n
}

// headOf returns the first two segments of a path.
func headOf(path string) string {
	if i := strings.IndexByte(path, '/'); i >= 0 {
		if j := strings.IndexByte(path[i+1:], '/'); j >= 0 {
			return path[:i+1+j]
		}
	}
	return path
}

// params are the parameters of a path, of which there are few.
type params []param

type param struct{ name, value string }

// Get returns a parameter, "" if there is none of that name.
func (ps params) Get(name string) string {
	for _, p := range ps {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// find returns the endpoint of an escaped path and its parameters, unescaped. It works
// on the escaped form so that an id may hold a slash in either form.
func (t *table) find(escaped string) (*endpoint, params) {
	path := strings.TrimPrefix(escaped, "/")
	among := t.byHead[headOf(path)]
	if len(among) == 0 {
		return nil, nil
	}
	segments := strings.Split(path, "/")
	for _, e := range among {
		if params, ok := e.match(segments); ok {
			return e, params
		}
	}
	return nil, nil
}

func (e *endpoint) match(segments []string) (params, bool) {
	extra := len(segments) - len(e.segments) // what the star takes beyond one segment
	if extra < 0 || (extra > 0 && e.star < 0) {
		return nil, false
	}
	var found params
	for i, want := range e.segments {
		var got string
		switch {
		case i == e.star:
			got = strings.Join(segments[i:i+1+extra], "/")
		case e.star >= 0 && i > e.star:
			got = segments[i+extra]
		default:
			got = segments[i]
		}
		if want[0] != ':' && want[0] != '*' {
			if got != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(got)
		if err != nil || value == "" {
			return nil, false
		}
		found = append(found, param{want[1:], value})
	}
	return found, true
}

// allowed lists the methods of an endpoint for an Allow header.
func (e *endpoint) allowed() string {
	methods := e.methods
	for _, r := range e.routes {
		if r.is(CORS) {
			methods = append(slices.Clone(methods), http.MethodOptions)
			break
		}
	}
	return strings.Join(methods, ", ")
}
