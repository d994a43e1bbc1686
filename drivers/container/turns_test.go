//go:build linux

package container

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Who takes a turn has it alone; those who share it do not wait for each other; nobody waits for
// the turn of another key, or longer than their context; nothing is left.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		order := make(chan string, 16)
		hold := func(name, key string, take func(context.Context, string) (func(), error)) (give func()) {
			given, freed := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(freed)
				free, err := take(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				order <- name
				<-given
				free()
			}()
			synctest.Wait()
			return func() { close(given); <-freed; synctest.Wait() }
		}
		said := func(want ...string) {
			t.Helper()
			for _, w := range want {
				select {
				case got := <-order:
					if got != w {
						t.Errorf("%s has the turn, want %s", got, w)
					}
				default:
					t.Errorf("nobody has the turn, want %s", w)
				}
			}
			if len(order) > 0 {
				t.Errorf("%s has the turn, too", <-order)
			}
		}
		one := hold("one", "a", turns.Share)
		two := hold("two", "a", turns.Share)
		other := hold("other", "b", turns.Take)
		said("one", "two", "other")
		alone := hold("alone", "a", turns.Take)
		late := hold("late", "a", turns.Share)
		said()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, take := range []func(context.Context, string) (func(), error){turns.Take, turns.Share} {
			if _, err := take(ctx, "a"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want that the context ended", err)
			}
		}
		one()
		said()
		two()
		said("alone")
		alone()
		said("late")
		late()
		other()
		if len(turns.held) > 0 {
			t.Errorf("%d turns are left", len(turns.held))
		}
	})
}
