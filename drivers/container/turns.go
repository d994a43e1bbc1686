//go:build linux

package container

import (
	"context"
	"sync"
)

// sharers is how many can share a turn at a time.
const sharers = 8

// Turns gives one caller at a time the turn for a key, or a few who share it. The zero value is
// ready.
type Turns struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	door   chan struct{} // held by who comes next
	places chan struct{} // who shares the turn has one, who has it alone has all
	users  int
}

// Take waits for the turn; the function that it returns gives it back.
func (k *Turns) Take(ctx context.Context, key string) (func(), error) {
	return k.take(ctx, key, sharers)
}

// Share waits for the turn together with others who share it.
func (k *Turns) Share(ctx context.Context, key string) (func(), error) {
	return k.take(ctx, key, 1)
}

func (k *Turns) take(ctx context.Context, key string, places int) (func(), error) {
	t := k.enter(key)
	taken := 0
	free := func() {
		for range taken {
			<-t.places
		}
		k.leave(key, t)
	}
	if err := put(ctx, t.door); err != nil {
		free()
		return nil, err
	}
	defer func() { <-t.door }()
	for ; taken < places; taken++ {
		if err := put(ctx, t.places); err != nil {
			free()
			return nil, err
		}
	}
	return free, nil
}

func put(ctx context.Context, in chan<- struct{}) error {
	select {
	case in <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Turns) enter(key string) *turn {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = map[string]*turn{}
	}
	t := k.held[key]
	if t == nil {
		t = &turn{door: make(chan struct{}, 1), places: make(chan struct{}, sharers)}
		k.held[key] = t
	}
	t.users++
	return t
}

func (k *Turns) leave(key string, t *turn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(k.held, key)
	}
}
