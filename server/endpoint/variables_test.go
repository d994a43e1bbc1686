package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

// safe is a world with variables.
type safe struct {
	*world
	*endpoint.Variables
	expired error // what the timers say of every lock
}

func newSafe(t testing.TB) *safe {
	s := &safe{world: newWorld(t, endpoint.Config{})}
	if err := s.keyring.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Variables = endpoint.NewVariables(s.store, s.world, s.keyring, timersOf{s})
	return s
}

// timersOf stands for the timers of locks.
type timersOf struct{ s *safe }

func (t timersOf) Renew(*nomadish.SealedVariable) error { return t.s.expired }

// rights are what somebody may do: "PERMISSION PATH" for each.
type rights []string

func (rights) Management() bool { return false }

func (r rights) Allows(p nomadish.Permission, _, path string) bool {
	return slices.Contains(r, string(p)+" "+path)
}

// as is a context of somebody with rights.
func as(t testing.TB, r ...string) context.Context {
	return nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerToken, Rights: rights(r)})
}

// root is a context of somebody who may do everything.
func root(t testing.TB) context.Context {
	return nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerManagement})
}

func newVariable(path string, items ...string) *nomadish.Variable {
	v := &nomadish.Variable{VariableMetadata: nomadish.VariableMetadata{Namespace: "default", Path: path}}
	for i := 0; i < len(items); i += 2 {
		if v.Items == nil {
			v.Items = nomadish.VariableItems{}
		}
		v.Items[items[i]] = items[i+1]
	}
	return v
}

// set stores a variable as root.
func (s *safe) set(path string, items ...string) *nomadish.Variable {
	s.t.Helper()
	out, index, err := s.Set(root(s.t), newVariable(path, items...), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if out.ModifyIndex != index {
		s.t.Errorf("%s: index %d, want that of the write, %d", path, out.ModifyIndex, index)
	}
	return out
}

// held takes a lock as root.
func (s *safe) held(path string) *nomadish.Variable {
	s.t.Helper()
	out, _, err := s.Acquire(root(s.t), newVariable(path))
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// wantConflict checks that a write was refused, and that the answer shows the variable with
// these items.
func wantConflict(t testing.TB, err error, index uint64, items nomadish.VariableItems) {
	t.Helper()
	var conflict *nomadish.VariableConflict
	if !errors.As(err, &conflict) || nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("error %v, want a conflict", err)
		return
	}
	if conflict.Current.ModifyIndex != index {
		t.Errorf("%v: shows index %d, want %d", err, conflict.Current.ModifyIndex, index)
	}
	if diff := cmp.Diff(map[string]string(items), map[string]string(conflict.Current.Items)); diff != "" {
		t.Errorf("%v: shows items (-want +got):\n%s", err, diff)
	}
}

func TestVariables(t *testing.T) {
	s, ctx := newSafe(t), root(t)
	first := s.set("a/b", "k", "v1")
	second := s.set("a/b", "k", "v2", "l", "w")
	if second.CreateIndex != first.CreateIndex || second.ModifyIndex <= first.ModifyIndex || second.CreateTime != epoch.UnixNano() {
		t.Errorf("the second write made %+v of %+v", second.VariableMetadata, first.VariableMetadata)
	}
	got, index, err := s.Read(ctx, nil, "default", "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second, got); diff != "" || index != second.ModifyIndex {
		t.Errorf("read at %d (-want +got):\n%s", index, diff)
	}
	_, _, err = s.Read(ctx, nil, "default", "a")
	wantKind(t, err, nomadish.KindNotFound, "variable not found")

	now, zero, old := second.Items, uint64(0), first.ModifyIndex
	_, _, err = s.Set(ctx, newVariable("a/b", "k", "v3"), &old)
	wantConflict(t, err, second.ModifyIndex, now)
	_, _, err = s.Set(ctx, newVariable("a/b", "k", "v3"), &zero)
	wantConflict(t, err, second.ModifyIndex, now)
	_, _, err = s.Set(ctx, newVariable("new", "k", "v3"), &old)
	wantConflict(t, err, 0, nil)
	_, err = s.Delete(ctx, "default", "a/b", &old)
	wantConflict(t, err, second.ModifyIndex, now)
	if _, _, err := s.Set(ctx, newVariable("new", "k", "v3"), &zero); err != nil {
		t.Errorf("create with check 0: %v", err)
	}
	third, _, err := s.Set(ctx, newVariable("a/b", "k", "v3"), &second.ModifyIndex)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(ctx, "default", "a/b", &third.ModifyIndex); err != nil {
		t.Errorf("delete with the right check: %v", err)
	}
	if _, err := s.Delete(ctx, "default", "a/b", nil); err != nil {
		t.Errorf("delete what is gone: %v", err)
	}
	_, _, err = s.Read(ctx, nil, "default", "a/b")
	wantKind(t, err, nomadish.KindNotFound, "variable not found")
}

// What can't be stored, at the limit and one beyond.
func TestVariableLimits(t *testing.T) {
	s, ctx := newSafe(t), root(t)
	long, large := strings.Repeat("p", nomadish.MaxVariablePath), strings.Repeat("x", nomadish.MaxVariableSize-1)
	for _, v := range []*nomadish.Variable{newVariable(long, "k", "v"), newVariable("large", "k", large), newVariable("nomad/jobs/web/g/t", "k", "v"), newVariable("a-b_c~d/E9", "", "")} {
		if _, _, err := s.Set(ctx, v, nil); err != nil {
			t.Errorf("%.20s: %v", v.Path, err)
		}
	}
	other := newVariable("a", "k", "v")
	other.Namespace = "none"
	for _, tt := range []struct {
		v    *nomadish.Variable
		want string
	}{
		{newVariable(long+"p", "k", "v"), "invalid path: it has 129 bytes, more than the limit of 128"},
		{newVariable("large", "k", large+"x"), "variable's items take 65537 bytes, more than the limit of 65536"},
		{newVariable("a"), "variable missing required Items object"},
		{newVariable("", "k", "v"), "variable missing required Path"},
		{newVariable("a.b", "k", "v"), `invalid path "a.b": only letters, digits and the characters -_~/ can be in it`},
		{newVariable("a\x00b", "k", "v"), `invalid path "a\x00b": only letters, digits and the characters -_~/ can be in it`},
		{newVariable("nomad", "k", "v"), `path "nomad" is reserved: of what is below nomad/ only nomad/jobs and nomad/job-templates can be written`},
		{newVariable("nomad/jobsx", "k", "v"), `path "nomad/jobsx" is reserved: of what is below nomad/ only nomad/jobs and nomad/job-templates can be written`},
		{other, `namespace "none" does not exist`},
	} {
		_, _, err := s.Set(ctx, tt.v, nil)
		wantKind(t, err, nomadish.KindInvalid, tt.want)
	}
	for _, tt := range []struct{ ttl, delay, want string }{
		{"10s", "24h", ""},
		{"24h", "10s", ""},
		{"9999ms", "", "Lock.TTL: 9.999s is not between 10s and 24h0m0s"},
		{"", "24h1ns", "Lock.LockDelay: 24h0m0.000000001s is not between 10s and 24h0m0s"},
		{"soon", "", `Lock.TTL: "soon" is no duration, such as 15s`},
	} {
		v := newVariable("lock-" + tt.ttl)
		v.Lock = &nomadish.VariableLock{TTL: tt.ttl, LockDelay: tt.delay}
		if _, _, err := s.Acquire(ctx, v); tt.want != "" {
			wantKind(t, err, nomadish.KindInvalid, tt.want)
		} else if err != nil {
			t.Errorf("lock of %s: %v", tt.ttl, err)
		}
	}
}

// Only who has the lock's ID changes a variable, renews and releases.
func TestVariableLock(t *testing.T) {
	s, ctx := newSafe(t), root(t)
	s.set("v", "k", "v1")
	held := s.held("v")
	if l := held.Lock; l == nil || l.ID == "" || l.TTL != "15s" || l.LockDelay != "15s" || l.Fence != held.ModifyIndex {
		t.Errorf("lock %+v at index %d", l, held.ModifyIndex)
	}
	if diff := cmp.Diff(map[string]string{"k": "v1"}, map[string]string(held.Items)); diff != "" {
		t.Errorf("items after acquiring (-want +got):\n%s", diff)
	}
	_, _, err := s.Acquire(ctx, newVariable("v"))
	wantConflict(t, err, held.ModifyIndex, held.Items)
	_, _, err = s.Set(ctx, newVariable("v", "k", "v2"), nil)
	wantConflict(t, err, held.ModifyIndex, held.Items)
	_, err = s.Delete(ctx, "default", "v", nil)
	wantConflict(t, err, held.ModifyIndex, held.Items)

	mine, other := newVariable("v", "k", "v2"), newVariable("v")
	mine.Lock, other.Lock = &nomadish.VariableLock{ID: held.Lock.ID}, &nomadish.VariableLock{ID: nomadish.NewID()}
	changed, _, err := s.Set(ctx, mine, nil)
	if err != nil {
		t.Fatal(err)
	}
	if changed.Lock == nil || changed.Lock.Fence != held.Lock.Fence {
		t.Errorf("the holder's write left lock %+v", changed.Lock)
	}
	mine.Lock.TTL = "30s"
	_, _, err = s.Set(ctx, mine, nil)
	wantKind(t, err, nomadish.KindInvalid, "Lock: TTL and LockDelay can't change while the lock is held")
	mine.Lock.TTL = ""

	for _, do := range []func(context.Context, *nomadish.Variable) error{
		func(ctx context.Context, v *nomadish.Variable) error {
			_, _, err := s.Variables.Renew(ctx, v)
			return err
		},
		func(ctx context.Context, v *nomadish.Variable) error { _, _, err := s.Release(ctx, v); return err },
	} {
		wantConflict(t, do(ctx, other), changed.ModifyIndex, changed.Items)
		missing := newVariable("missing")
		missing.Lock = other.Lock
		wantConflict(t, do(ctx, missing), 0, nil)
		wantConflict(t, do(ctx, newVariable("v")), changed.ModifyIndex, changed.Items) // without an ID
	}
	renewed, index, err := s.Variables.Renew(ctx, mine)
	if err != nil || index != changed.ModifyIndex || renewed.Lock.ID != held.Lock.ID {
		t.Errorf("renewing: %+v at %d, %v; want it unchanged at %d", renewed, index, err, changed.ModifyIndex)
	}
	s.expired = nomadish.Errorf(nomadish.KindConflict, "it is ending")
	_, _, err = s.Variables.Renew(ctx, mine)
	wantConflict(t, err, changed.ModifyIndex, changed.Items)
	_, _, err = s.Release(ctx, mine)
	wantKind(t, err, nomadish.KindInvalid, "releasing a lock does not change items: leave them out")
	mine.Items = nil
	released, _, err := s.Release(ctx, mine)
	if err != nil || released.Lock != nil || released.Items != nil {
		t.Errorf("released: %+v, %v", released, err)
	}
	_, _, err = s.Set(ctx, &nomadish.Variable{VariableMetadata: mine.VariableMetadata, Items: changed.Items}, nil)
	wantConflict(t, err, released.ModifyIndex, changed.Items) // its lock is over
}

// A lock needs no items, and takes those that it is acquired with.
func TestLockMakesVariable(t *testing.T) {
	s, ctx := newSafe(t), root(t)
	first := s.held("bare")
	got, _, err := s.Read(ctx, nil, "default", "bare")
	if err != nil || got.Items != nil {
		t.Errorf("a variable made by its lock: %+v, %v", got, err)
	}
	first.Items = nil
	if _, _, err := s.Release(ctx, first); err != nil {
		t.Fatal(err)
	}
	second, _, err := s.Acquire(ctx, newVariable("bare", "k", "v"))
	if err != nil {
		t.Fatal(err)
	}
	if second.Lock.Fence <= first.Lock.Fence || second.Items["k"] != "v" {
		t.Errorf("acquired anew: %+v, %v", second.Lock, map[string]string(second.Items))
	}
	got, _, err = s.Read(ctx, nil, "default", "bare")
	if err != nil || got.Items["k"] != "v" {
		t.Errorf("read after acquiring with items: %v, %v", map[string]string(got.Items), err)
	}
}

// After a lock was lost, nobody has it until its delay is over; writing needs no lock.
func TestLostLock(t *testing.T) {
	s, ctx := newSafe(t), root(t)
	held := s.held("v")
	gone := fsm.ExpiredLock{Namespace: "default", Path: "v", ID: held.Lock.ID}
	s.apply(&fsm.ExpireLocks{Locks: []fsm.ExpiredLock{gone}})
	_, _, err := s.Acquire(ctx, newVariable("v"))
	if err == nil || !strings.Contains(err.Error(), "until its delay is over") {
		t.Errorf("acquiring a lost lock: %v", err)
	}
	late := newVariable("v", "k", "late")
	late.Lock = &nomadish.VariableLock{ID: held.Lock.ID}
	_, _, err = s.Set(ctx, late, nil)
	if nomadish.KindOf(err) != nomadish.KindConflict || err == nil {
		t.Errorf("a write of the former holder: %v", err)
	}
	s.set("v", "k", "v")
	s.apply(&fsm.ExpireLocks{Locks: []fsm.ExpiredLock{gone}}) // once more: nothing is left to do
	if _, _, err := s.Acquire(ctx, newVariable("v")); err == nil {
		t.Error("the same command again ended the delay")
	}
	gone.Delay = true
	s.apply(&fsm.ExpireLocks{Locks: []fsm.ExpiredLock{gone}})
	if next := s.held("v"); next.Lock.Fence <= held.Lock.Fence {
		t.Errorf("fence %d after %d", next.Lock.Fence, held.Lock.Fence)
	}
}

// Each permission is asked for the path that it is about, and what a caller may not see is
// neither in lists nor in conflicts.
func TestVariablePermissions(t *testing.T) {
	s := newSafe(t)
	s.set("web", "k", "v")
	s.set("web-admin", "k", "v")
	held := s.held("web")
	denied := func(what string, err error) {
		t.Helper()
		if nomadish.KindOf(err) != nomadish.KindDenied || err == nil {
			t.Errorf("%s: %v, want that it is denied", what, err)
		}
	}
	reader := as(t, "variables:read web", "variables:list web", "variables:list nothing")
	rows, _, err := s.List(reader, nil, "*", "", nomadish.VariableName{})
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Collect(rows)
	if len(all) != 1 || all[0].Path != "web" || all[0].Lock == nil || all[0].Lock.ID != "" {
		t.Errorf("list of who may see one variable: %+v; want that one without the lock's ID", all)
	}
	got, _, err := s.Read(reader, nil, "default", "web")
	if err != nil || got.Items["k"] != "v" || got.Lock == nil || got.Lock.ID != "" {
		t.Errorf("a reader reads %+v, %v; want it without the lock's ID", got, err)
	}
	_, _, err = s.Read(reader, nil, "default", "web-admin")
	denied("read another", err)
	_, _, err = s.Read(reader, nil, "default", "missing")
	denied("read what is not there", err)
	_, _, err = s.Set(reader, newVariable("web", "k", "w"), nil)
	denied("write as reader", err)
	_, err = s.Delete(reader, "default", "web", nil)
	denied("delete as reader", err)
	mine := newVariable("web")
	mine.Lock = &nomadish.VariableLock{ID: held.Lock.ID}
	_, _, err = s.Acquire(reader, newVariable("web"))
	denied("acquire as reader", err)
	_, _, err = s.Release(reader, mine)
	denied("release as reader", err)
	_, _, err = s.Variables.Renew(reader, mine)
	denied("renew as reader", err)

	writer := as(t, "variables:write web")
	_, _, err = s.Set(writer, newVariable("web", "k", "w"), nil)
	wantConflict(t, err, held.ModifyIndex, nil)
	_, _, err = s.Read(writer, nil, "default", "web")
	denied("read as writer", err)
	_, err = s.Delete(writer, "default", "web", nil)
	denied("delete as writer", err)
	if _, _, err := s.Release(writer, mine); err != nil {
		t.Error(err)
	}
	again, _, err := s.Acquire(writer, newVariable("web"))
	if err != nil || again.Items != nil {
		t.Errorf("acquired by who may not read: items %v, %v", map[string]string(again.Items), err)
	}
}

// Ciphertext that somebody moves to another path, namespace or index can't be read there.
func TestMovedCiphertext(t *testing.T) {
	s, ctx := newSafe(t), root(t)
	s.set("mine", "k", "secret")
	s.set("mine", "k", "newer")
	row, err := s.read().Variable(nil, "default", "mine")
	if err != nil {
		t.Fatal(err)
	}
	s.apply(&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: "other"}}})
	put := func(namespace, path string, base uint64) error {
		s.apply(&fsm.SetVariable{Namespace: namespace, Path: path, Items: row.Items, Base: base})
		_, _, err := s.Read(ctx, nil, namespace, path)
		return err
	}
	for what, err := range map[string]error{
		"another path":      put("default", "theirs", 0),
		"another namespace": put("other", "mine", 0),
		"another index":     put("default", "mine", row.ModifyIndex),
	} {
		if err == nil || !strings.Contains(err.Error(), "damaged, or belongs elsewhere") {
			t.Errorf("read at %s: %v", what, err)
		}
	}
	s.apply(&fsm.DeleteVariable{Namespace: "default", Path: "mine"})
	s.set("mine", "k", "v")
	if _, _, err := s.Read(ctx, nil, "default", "mine"); err != nil {
		t.Errorf("a variable that was made again: %v", err)
	}
}

// Many write the same variable at once without asking for its index: each of them succeeds,
// and what is left is one of their writes.
func TestConcurrentVariableWrites(t *testing.T) {
	s, ctx := newSafe(t), root(t)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for n := range 20 {
				if _, _, err := s.Set(ctx, newVariable("v", "k", fmt.Sprint(i, n)), nil); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	writers.Wait()
	if _, _, err := s.Read(ctx, nil, "default", "v"); err != nil {
		t.Error(err)
	}
}

// noOpen is a keyring that opens nothing.
type noOpen struct{ endpoint.Sealer }

func (noOpen) Open(nomadish.Sealed, []byte) ([]byte, error) { return nil, errors.New("opened") }

// A list decrypts nothing, and its pages follow each other.
func TestVariableList(t *testing.T) {
	s := newSafe(t)
	s.apply(&fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: "default-x"}, {Name: "a"}}})
	var want []string
	for _, namespace := range []string{"a", "default", "default-x"} {
		for _, path := range []string{"a", "a/b", "a-b", "b"} {
			v := newVariable(path, "k", "v")
			v.Namespace = namespace
			if _, _, err := s.Set(root(t), v, nil); err != nil {
				t.Fatal(err)
			}
			want = append(want, namespace+" "+path)
		}
	}
	slices.Sort(want)
	closed := endpoint.NewVariables(s.store, s.world, noOpen{s.keyring}, timersOf{s})
	list := func(namespace, prefix string, from nomadish.VariableName) (names []string) {
		rows, _, err := closed.List(root(t), nil, namespace, prefix, from)
		if err != nil {
			t.Fatal(err)
		}
		for row := range rows {
			names = append(names, row.Namespace+" "+row.Path)
		}
		return names
	}
	slices.SortFunc(want, func(a, b string) int {
		return strings.Compare(strings.ReplaceAll(a, " ", "\x00"), strings.ReplaceAll(b, " ", "\x00"))
	})
	for i, name := range want {
		namespace, path, _ := strings.Cut(name, " ")
		from := nomadish.VariableName{Namespace: namespace, Path: path}
		if diff := cmp.Diff(want[i:], list("*", "", from)); diff != "" {
			t.Errorf("from %s on (-want +got):\n%s", name, diff)
		}
		if namespace == "default" {
			if diff := cmp.Diff(want[i:8], list("default", "", from)); diff != "" {
				t.Errorf("of the namespace from %s on (-want +got):\n%s", name, diff)
			}
		}
	}
	if diff := cmp.Diff([]string{"default a/b"}, list("default", "a/", nomadish.VariableName{})); diff != "" {
		t.Errorf("with a prefix (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a b", "default b", "default-x b"}, list("*", "b", nomadish.VariableName{Namespace: "a", Path: "a"})); diff != "" {
		t.Errorf("with a prefix, in all namespaces (-want +got):\n%s", diff)
	}
}

// Variables are found by the beginning of their path, by who may list them.
func TestSearchVariables(t *testing.T) {
	s := newSafe(t)
	for _, path := range []string{"web", "web-admin", "other"} {
		s.set(path, "k", "v")
	}
	for _, tt := range []struct {
		ctx  context.Context
		want []string
	}{
		{root(t), []string{"web", "web-admin"}},
		{as(t, "variables:list web"), []string{"web"}},
		{as(t, "variables:list other"), []string{}},
	} {
		found, err := s.SearchPrefix(tt.ctx, &nomadish.SearchRequest{Prefix: "web", Context: "vars", WriteRequest: nomadish.WriteRequest{Namespace: "default"}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, found.Matches["vars"]); diff != "" {
			t.Errorf("found (-want +got):\n%s", diff)
		}
	}
}
