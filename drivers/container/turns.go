//go:build linux

package container

import (
	"context"
	"sync"
)

// Turns gives one caller at a time the turn for a key. The zero value is ready.
type Turns struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	token   chan struct{}
	waiters int
}

// Take waits for the turn; the function that it returns gives it back.
func (k *Turns) Take(ctx context.Context, key string) (func(), error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*turn{}
	}
	t := k.held[key]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		k.held[key] = t
	}
	t.waiters++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if t.waiters--; t.waiters == 0 {
			delete(k.held, key)
		}
	}
	select {
	case t.token <- struct{}{}:
		return func() { <-t.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
