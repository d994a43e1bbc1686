package httpapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// shelf stands for the variables of a server. It notes what it was asked to do.
type shelf struct {
	*cluster
	asked    []string
	conflict bool
}

func (s *shelf) note(format string, args ...any) {
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
}

// did returns what was asked for since the last time.
func (s *shelf) did() string {
	out := strings.Join(s.asked, "; ")
	s.asked = nil
	return out
}

func metadata(namespace, path string) *nomadish.VariableMetadata {
	return &nomadish.VariableMetadata{Namespace: namespace, Path: path, ModifyIndex: 7}
}

func (s *shelf) answer(v *nomadish.Variable) (*nomadish.Variable, uint64, error) {
	out := &nomadish.Variable{VariableMetadata: *metadata(v.Namespace, v.Path), Items: v.Items}
	if s.conflict {
		return nil, 0, &nomadish.VariableConflict{Reason: "so", Current: out}
	}
	return out, 7, nil
}

func (s *shelf) List(_ context.Context, _ memdb.WatchSet, namespace, prefix string, from nomadish.VariableName) (iter.Seq[*nomadish.VariableMetadata], uint64, error) {
	s.note("list %s %s from %s %s", namespace, prefix, from.Namespace, from.Path)
	return func(yield func(*nomadish.VariableMetadata) bool) {
		for _, name := range []nomadish.VariableName{{Namespace: "a", Path: "x"}, {Namespace: "a", Path: "y"}, {Namespace: "a-b", Path: "x"}, {Namespace: "b", Path: "x"}} {
			if !yield(metadata(name.Namespace, name.Path)) {
				return
			}
		}
	}, 7, nil
}

func (s *shelf) Read(_ context.Context, _ memdb.WatchSet, namespace, path string) (*nomadish.Variable, uint64, error) {
	s.note("read %s %s", namespace, path)
	if path == "missing" {
		return nil, 7, nomadish.Errorf(nomadish.KindNotFound, "variable not found")
	}
	return &nomadish.Variable{VariableMetadata: *metadata(namespace, path), Items: nomadish.VariableItems{"k": "v"}}, 7, nil
}

func checkOf(check *uint64) string {
	if check == nil {
		return "-"
	}
	return fmt.Sprint(*check)
}

func (s *shelf) Set(_ context.Context, v *nomadish.Variable, check *uint64) (*nomadish.Variable, uint64, error) {
	s.note("set %s %s %s %s", v.Namespace, v.Path, v.Items["k"], checkOf(check))
	return s.answer(v)
}

func (s *shelf) Delete(_ context.Context, namespace, path string, check *uint64) (uint64, error) {
	s.note("delete %s %s %s", namespace, path, checkOf(check))
	_, index, err := s.answer(&nomadish.Variable{VariableMetadata: *metadata(namespace, path)})
	return index, err
}

func (s *shelf) Acquire(_ context.Context, v *nomadish.Variable) (*nomadish.Variable, uint64, error) {
	s.note("acquire %s %s", v.Namespace, v.Path)
	return s.answer(v)
}

func (s *shelf) Release(_ context.Context, v *nomadish.Variable) (*nomadish.Variable, uint64, error) {
	s.note("release %s %s %s", v.Namespace, v.Path, v.Lock.ID)
	return s.answer(v)
}

func (s *shelf) Renew(_ context.Context, v *nomadish.Variable) (*nomadish.VariableMetadata, uint64, error) {
	s.note("renew %s %s %s after %d syncs", v.Namespace, v.Path, v.Lock.ID, s.syncs)
	out, index, err := s.answer(v)
	if err != nil {
		return nil, 0, err
	}
	return &out.VariableMetadata, index, nil
}

func newShelf(t testing.TB) (*shelf, *API) {
	s := &shelf{cluster: newCluster()}
	return s, s.api(t, func(_ *Config, b *Backends) { b.Server.Variables = s })
}

// What requests ask for, and how they are answered.
func TestVariables(t *testing.T) {
	s, a := newShelf(t)
	const body = `{"Namespace":"inner","Path":"a/b","Items":{"k":"v"},"Lock":{"ID":"id"}}`
	for _, tt := range []struct {
		method, target, body string
		status               int
		did, answer          string
	}{
		{"GET", "/v1/var/a/b", "", 200, "read default a/b", `"Path":"a/b"`},
		{"GET", "/v1/var/a%2Fb?namespace=n", "", 200, "read n a/b", `"Items":{"k":"v"}`},
		{"GET", "/v1/var/missing", "", 404, "read default missing", "variable not found"},
		{"PUT", "/v1/var/a/b", body, 200, "set inner a/b v -", `"Namespace":"inner"`},
		{"POST", "/v1/var//a/b/?namespace=outer&cas=0", body, 200, "set outer a/b v 0", `"Namespace":"outer"`},
		{"PUT", "/v1/var/a/b?cas=12", `{"Items":{"k":"w"}}`, 200, "set default a/b w 12", `"ModifyIndex":7`},
		{"PUT", "/v1/var/a/c", body, 400, "", `variable path "a/b" in payload does not match "a/c" in URL`},
		{"PUT", "/v1/var/a/b?cas=x", body, 400, "", `Invalid value "x" of cas: must be an index`},
		{"PUT", "/v1/var/a/b?cas=1&lock-acquire", body, 400, "", "cas and lock-acquire can't be asked for at once"},
		{"PUT", "/v1/var/a/b?lock-renew&lock-release", body, 400, "", "lock-renew and lock-release can't be asked for at once"},
		{"PUT", "/v1/var/a/b?lock-acquire", body, 200, "acquire inner a/b", `"Path":"a/b"`},
		{"PUT", "/v1/var/a/b?lock-release", body, 200, "release inner a/b id", `"Path":"a/b"`},
		{"PUT", "/v1/var/a/b?lock-renew=", body, 200, "renew inner a/b id after 1 syncs", `"Path":"a/b"`},
		{"DELETE", "/v1/var/a/b?cas=3", "", 204, "delete default a/b 3", ""},
	} {
		s.syncs = 0
		got := ask(t, a, tt.method, tt.target, tt.body)
		if did := s.did(); got.status != tt.status || did != tt.did || !strings.Contains(got.body, tt.answer) {
			t.Errorf("%s %s: %d %s; did %q\nwant %d %s; %q", tt.method, tt.target, got.status, got.body, did, tt.status, tt.answer, tt.did)
		}
	}
}

// A conflict shows the variable as JSON, like success does.
func TestVariableConflict(t *testing.T) {
	s, a := newShelf(t)
	s.conflict = true
	for _, target := range []string{"PUT /v1/var/v", "PUT /v1/var/v?lock-acquire", "PUT /v1/var/v?lock-renew", "DELETE /v1/var/v"} {
		method, path, _ := strings.Cut(target, " ")
		got := ask(t, a, method, path, `{"Items":{"k":"v"},"Lock":{"ID":"id"}}`)
		if got.status != http.StatusConflict || got.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(got.body, `{"Namespace":"default","Path":"v"`) {
			t.Errorf("%s: %d %s", target, got.status, got.body)
		}
	}
	s.syncErr = nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	if got := ask(t, a, "PUT", "/v1/var/v?lock-renew", `{"Lock":{"ID":"id"}}`); got.status != http.StatusServiceUnavailable {
		t.Errorf("renewing at a server that does not lead any more: %d %s", got.status, got.body)
	}
}

// A page says where the next one begins, and the backend is asked from there on. Namespaces
// whose names begin like others' do not lose rows.
func TestVariablePages(t *testing.T) {
	s, a := newShelf(t)
	var all []string
	for token := "start"; token != ""; {
		target := "/v1/vars?namespace=*&prefix=p&per_page=1"
		if token != "start" {
			target += "&next_token=" + token
		}
		got := ask(t, a, "GET", target, "")
		namespace, path, _ := strings.Cut(strings.TrimPrefix(token, "start"), ".")
		if did, want := s.did(), fmt.Sprintf("list * p from %s %s", namespace, path); did != want {
			t.Errorf("token %q: did %q, want %q", token, did, want)
		}
		_, rest, _ := strings.Cut(got.body, `"Namespace":"`)
		name, rest, _ := strings.Cut(rest, `","Path":"`)
		p, _, _ := strings.Cut(rest, `"`)
		all = append(all, name+"."+p)
		token = got.header.Get("X-Nomad-Nexttoken")
		if len(all) > 9 {
			t.Fatal("no end of pages")
		}
	}
	if got, want := strings.Join(all, " "), "a.x a.y a-b.x b.x"; got != want {
		t.Errorf("pages hold %s, want %s", got, want)
	}
}

// Bodies of variables are read up to their limit; 64 KiB of items fit in however they are written.
func TestVariableBody(t *testing.T) {
	_, a := newShelf(t)
	escaped := `{"Items":{"k":"` + strings.Repeat(`\u0001`, nomadish.MaxVariableSize-1) + `"}}`
	if got := ask(t, a, "PUT", "/v1/var/v", escaped); got.status != 200 {
		t.Errorf("the largest variable: %d %.100s", got.status, got.body)
	}
	if got := ask(t, a, "PUT", "/v1/var/v", strings.Repeat(" ", bodyVariable+1)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body beyond the limit: %d %.100s", got.status, got.body)
	}
}

// The Go client finds the routes of variables and understands the answers, conflicts too.
func TestClientOfVariables(t *testing.T) {
	s, a := newShelf(t)
	for name, cl := range clients(t, a, api.Config{}) {
		t.Run(name, func(t *testing.T) {
			ctx, check, vars := t.Context(), checker(t), cl.Variables()
			v := &nomadish.Variable{VariableMetadata: *metadata("n", "a/b"), Items: nomadish.VariableItems{"k": "v"}}
			v.Lock = &nomadish.VariableLock{ID: "id"}
			s.conflict = false
			s.did()
			all, meta, err := vars.List(ctx, &api.Query{Namespace: "*", PerPage: 2})
			check("list", fmt.Sprint(len(all), meta.NextToken), "2a-b.x", err)
			check("did", s.did(), "list *  from  ", nil)
			got, _, err := vars.Variable(ctx, "/a/b", &api.Query{Namespace: "n"})
			check("read", got.Items["k"], "v", err)
			check("did", s.did(), "read n a/b", nil)
			index := uint64(3)
			set, err := vars.Set(ctx, v, &index)
			check("set", set.Path, "a/b", err)
			check("did", s.did(), "set n a/b v 3", nil)
			held, err := vars.Acquire(ctx, v)
			check("acquire", held.Path, "a/b", err)
			renewed, err := vars.Renew(ctx, v)
			check("renew", renewed.Path, "a/b", err)
			check("release", 0, 0, vars.Release(ctx, v))
			check("delete", 0, 0, vars.Delete(ctx, nomadish.VariableName{Namespace: "n", Path: "a/b"}, nil))
			s.conflict = true
			_, err = vars.Set(ctx, v, nil)
			var conflict *nomadish.VariableConflict
			check("conflict", errors.As(err, &conflict) && conflict.Current.Items["k"] == "v", true, ignore(err, nomadish.KindConflict))
			check("what the error prints", strings.Contains(fmt.Sprintf("%v %+v", err, conflict.Current), "[1 items]"), true, nil)
		})
	}
}
