package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// sum is the hash of a secret.
func sum(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 32) }

// token is a token whose secret has a hash; base is the index of the row that it replaces.
func token(n int, base uint64, expires time.Time) *nomadish.ACLToken {
	t := &nomadish.ACLToken{
		AccessorID: id('t', n), Type: nomadish.ACLTokenClient, Policies: []string{"p"}, ModifyIndex: base,
		SecretHash: nomadish.KeyedHash{KeyID: id('k', 1), Sum: sum(n)}, Secret: nomadish.Sealed{KeyID: id('k', 1), Data: []byte("sealed")},
	}
	if !expires.IsZero() {
		t.ExpirationTime = &expires
	}
	return t
}

func tokens(list ...*nomadish.ACLToken) *fsm.UpsertACLTokens {
	return &fsm.UpsertACLTokens{Tokens: list}
}

func withKeys(t testing.TB) *fsm.FSM {
	f := newFSM(t)
	mustApply(t, f, 1, rootKey(1, nomadish.RootKeyActive))
	return f
}

func rootKey(n int, s nomadish.RootKeyState) *fsm.AddRootKey {
	return &fsm.AddRootKey{Key: &nomadish.RootKey{KeyID: id('k', n), State: s, Wrapped: []nomadish.WrappedKey{{Wrapper: "w", Data: []byte("wrapped")}}}}
}

func accessors(f *fsm.FSM) (ids []string) {
	list, err := f.Store().Reader().ACLTokens(nil, "")
	if err != nil {
		panic(err)
	}
	for t := range list {
		ids = append(ids, t.AccessorID)
	}
	return ids
}

// A token is made once and changed by who has seen it as it is: one that was deleted does not
// come back with a change that was on its way.
func TestUpsertACLTokens(t *testing.T) {
	f := withKeys(t)
	mustApply(t, f, 2, tokens(token(1, 0, time.Time{})))
	mustApply(t, f, 3, tokens(token(1, 2, time.Time{})))
	for _, tt := range []struct {
		name    string
		command fsm.Command
		kind    nomadish.Kind
	}{
		{"made twice", tokens(token(1, 0, time.Time{})), nomadish.KindConflict},
		{"changed meanwhile", tokens(token(1, 2, time.Time{})), nomadish.KindConflict},
		{"never made", tokens(token(2, 2, time.Time{})), nomadish.KindConflict},
		{"one of two", tokens(token(3, 0, time.Time{}), token(1, 0, time.Time{})), nomadish.KindConflict},
		{"secret of another", tokens(&nomadish.ACLToken{AccessorID: id('t', 4), SecretHash: token(1, 0, time.Time{}).SecretHash, Secret: token(1, 0, time.Time{}).Secret}), nomadish.KindInvalid},
		{"sealed with a key that is gone", tokens(&nomadish.ACLToken{AccessorID: id('t', 4), SecretHash: nomadish.KeyedHash{KeyID: id('k', 2), Sum: sum(4)}}), nomadish.KindConflict},
		{"nothing", tokens(nil), nomadish.KindInvalid},
		{"role without its policy", &fsm.UpsertACLRoles{Roles: []*nomadish.ACLRole{{ID: id('r', 1), Name: "r", Policies: []*nomadish.ACLRolePolicyLink{{Name: "none"}}}}}, nomadish.KindInvalid},
		{"rule without its method", &fsm.UpsertACLBindingRules{Rules: []*nomadish.ACLBindingRule{{ID: id('b', 1), AuthMethod: "none"}}}, nomadish.KindInvalid},
		{"deleting one of two", &fsm.DeleteACLTokens{AccessorIDs: []string{id('t', 1), id('t', 2)}}, nomadish.KindNotFound},
	} {
		if err := apply(t, f, 4, tt.command).Err; err == nil || nomadish.KindOf(err) != tt.kind {
			t.Errorf("%s: error %v, want kind %d", tt.name, err, tt.kind)
		}
	}
	if diff := cmp.Diff([]string{id('t', 1)}, accessors(f)); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	mustApply(t, f, 5, &fsm.DeleteACLTokens{AccessorIDs: []string{id('t', 1)}})
	if err := apply(t, f, 6, tokens(token(1, 3, time.Time{}))).Err; nomadish.KindOf(err) != nomadish.KindConflict || err == nil {
		t.Errorf("changed after it was deleted: %v", err)
	}
}

// Bootstrapping is done once; again it takes the index at which it was done last.
func TestBootstrapACL(t *testing.T) {
	f := withKeys(t)
	mustApply(t, f, 2, &fsm.BootstrapACL{Token: token(1, 0, time.Time{})})
	for _, reset := range []uint64{0, 1, 3} {
		err := apply(t, f, 3, &fsm.BootstrapACL{Token: token(2, 0, time.Time{}), ResetIndex: reset}).Err
		if err == nil || err.Error() != "ACL bootstrap already done (reset index: 2)" {
			t.Errorf("reset index %d: %v", reset, err)
		}
	}
	mustApply(t, f, 4, &fsm.BootstrapACL{Token: token(2, 0, time.Time{}), ResetIndex: 2})
	if got := f.Store().Reader().ACLBootstrapIndex(); got != 4 {
		t.Errorf("bootstrapped at index %d, want 4", got)
	}
}

// Tokens go once they have expired before a time, one-time tokens by the log's own.
func TestExpireACL(t *testing.T) {
	f := withKeys(t)
	mustApply(t, f, 2, tokens(token(1, 0, start), token(2, 0, start.Add(time.Hour)), token(3, 0, time.Time{})))
	once := func(n int, expires time.Time) *fsm.PutOneTimeToken {
		return &fsm.PutOneTimeToken{Token: &nomadish.OneTimeToken{AccessorID: id('t', n), ExpiresAt: expires, SecretHash: nomadish.KeyedHash{KeyID: id('k', 1), Sum: sum(n)}}}
	}
	mustApply(t, f, 3, once(2, start))
	mustApply(t, f, 4, once(3, start.Add(time.Hour)))
	if err := apply(t, f, 5, &fsm.ExchangeOneTimeToken{Sum: sum(2)}).Err; nomadish.KindOf(err) != nomadish.KindDenied || err == nil {
		t.Errorf("exchange of one that has expired: %v", err)
	}
	mustApply(t, f, 6, &fsm.ExpireACL{Before: start.UnixNano()})
	if diff := cmp.Diff([]string{id('t', 2), id('t', 3)}, accessors(f)); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	var left []string
	for o := range f.Store().Reader().OneTimeTokens(nil) {
		left = append(left, o.AccessorID)
	}
	if diff := cmp.Diff([]string{id('t', 3)}, left); diff != "" {
		t.Errorf("one-time tokens (-want +got):\n%s", diff)
	}
	mustApply(t, f, 7, &fsm.ExchangeOneTimeToken{Sum: sum(3)})
	if err := apply(t, f, 8, &fsm.ExchangeOneTimeToken{Sum: sum(3)}).Err; nomadish.KindOf(err) != nomadish.KindDenied || err == nil {
		t.Errorf("second exchange: %v", err)
	}
}

// Sealing anew leaves alone what has changed since.
func TestResealACL(t *testing.T) {
	f := withKeys(t)
	mustApply(t, f, 2, tokens(token(1, 0, time.Time{}), token(2, 0, time.Time{})))
	mustApply(t, f, 3, tokens(token(2, 2, time.Time{})))
	anew := func(n int, base uint64) *nomadish.ACLToken {
		next := token(n, base, time.Time{})
		next.Policies, next.Secret.Data, next.SecretHash.Sum = nil, []byte("anew"), sum(n+100)
		return next
	}
	mustApply(t, f, 4, &fsm.ResealACL{Tokens: []*nomadish.ACLToken{anew(1, 2), anew(2, 2), anew(3, 2)}})
	r := f.Store().Reader()
	first, err := r.ACLTokenByHash(nil, sum(101))
	if err != nil || string(first.Secret.Data) != "anew" || !slices.Equal(first.Policies, []string{"p"}) {
		t.Errorf("the first token: %+v, %v", first, err)
	}
	if _, err := r.ACLTokenByHash(nil, sum(1)); err == nil {
		t.Error("the first token is found by its former hash")
	}
	if second, err := r.ACLTokenByHash(nil, sum(2)); err != nil || string(second.Secret.Data) != "sealed" {
		t.Errorf("the second token, which has changed: %+v, %v", second, err)
	}
}

// drawACL draws a command of access control; many fail.
func drawACL(t *rapid.T) fsm.Command {
	n := rapid.IntRange(1, 3).Draw(t, "which")
	base := rapid.SampledFrom([]uint64{0, 0, 17, 18, 19, 20, 21, 22}).Draw(t, "base")
	name := fmt.Sprint("name", n)
	switch rapid.IntRange(0, 11).Draw(t, "acl command") {
	case 0:
		return tokens(token(n, base, rapid.SampledFrom([]time.Time{{}, start, start.Add(time.Hour)}).Draw(t, "expires")))
	case 1:
		return &fsm.DeleteACLTokens{AccessorIDs: []string{id('t', n)}}
	case 2:
		return &fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{{Name: name, JobACL: &nomadish.JobACL{Namespace: "default", JobID: jobID(t)}}, {Name: "p"}}}
	case 3:
		return &fsm.DeleteACLPolicies{Names: []string{name}}
	case 4:
		return &fsm.UpsertACLRoles{Roles: []*nomadish.ACLRole{{ID: id('r', n), Name: name, ModifyIndex: base, Policies: []*nomadish.ACLRolePolicyLink{{Name: "p"}}}}}
	case 5:
		return &fsm.BootstrapACL{Token: token(n, 0, time.Time{}), ResetIndex: base}
	case 6:
		return &fsm.PutOneTimeToken{Token: &nomadish.OneTimeToken{AccessorID: id('t', n), ExpiresAt: start.Add(time.Hour), SecretHash: nomadish.KeyedHash{KeyID: id('k', 1), Sum: sum(n)}}}
	case 7:
		return &fsm.ExchangeOneTimeToken{Sum: sum(n)}
	case 8:
		return &fsm.ExpireACL{Before: start.UnixNano()}
	case 9:
		return &fsm.UpsertACLAuthMethods{Methods: []*nomadish.ACLAuthMethod{{Name: name, Type: "JWT", Default: true, ModifyIndex: base}}}
	case 10:
		return &fsm.UpsertNamespaces{Namespaces: []*nomadish.Namespace{{Name: name, Quota: rapid.SampledFrom([]string{"", "name1"}).Draw(t, "quota")}}}
	}
	return drawSpace(t, n, name, base)
}

func drawSpace(t *rapid.T, n int, name string, base uint64) fsm.Command {
	switch rapid.IntRange(0, 5).Draw(t, "space command") {
	case 0:
		return &fsm.DeleteNamespaces{Names: []string{name}}
	case 1:
		return &fsm.UpsertQuotas{Quotas: []*nomadish.QuotaSpec{{Name: name}}}
	case 2:
		return &fsm.DeleteQuotas{Names: []string{name}}
	case 3:
		return &fsm.UpsertACLBindingRules{Rules: []*nomadish.ACLBindingRule{{ID: id('b', n), AuthMethod: name, ModifyIndex: base}}}
	case 4:
		return &fsm.DeleteACLAuthMethods{Names: []string{name}}
	}
	return &fsm.ResealACL{Tokens: []*nomadish.ACLToken{token(n, base, time.Time{})}}
}
