package gc_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/gc"
)

// Tokens go some time after they have expired; garbage that is collected by hand at once.
func TestExpiredTokens(t *testing.T) { synctest.Test(t, testExpiredTokens) }

func testExpiredTokens(t *testing.T) {
	w := newWorld(t)
	w.apply(&fsm.AddRootKey{Key: &nomadish.RootKey{KeyID: w.id("key"), State: nomadish.RootKeyActive, Wrapped: []nomadish.WrappedKey{{Data: []byte("x")}}}})
	for i, expires := range []time.Duration{-2 * time.Hour, -time.Minute, time.Hour, 0} {
		name := []string{"old", "just now", "later", "never"}[i]
		token := &nomadish.ACLToken{
			AccessorID: w.id(name), Secret: nomadish.Sealed{KeyID: w.id("key")},
			SecretHash: nomadish.KeyedHash{KeyID: w.id("key"), Sum: slices.Repeat([]byte{byte(i)}, 32)},
		}
		if expires != 0 {
			token.ExpirationTime = nomadish.Ptr(epoch.Add(expires))
		}
		w.apply(&fsm.UpsertACLTokens{Tokens: []*nomadish.ACLToken{token}})
	}
	left := func() []string {
		list, err := w.store.Reader().ACLTokens(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for token := range list {
			names = append(names, w.names[token.AccessorID])
		}
		slices.Sort(names)
		return names
	}
	r := gc.New(gc.Config{Now: func() time.Time { return epoch }}, w.store, w)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	time.Sleep(5*time.Minute + time.Second) // one pass
	synctest.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"just now", "later", "never"}, left()); diff != "" {
		t.Errorf("after a pass (-want +got):\n%s", diff)
	}
	if err := r.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"later", "never"}, left()); diff != "" {
		t.Errorf("after collecting all (-want +got):\n%s", diff)
	}
}
