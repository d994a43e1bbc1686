//go:build linux

package cluster

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a condition may take to come about on a busy machine.
const patience = 60 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newLab makes a lab with servers, of which some or all are client nodes too, and more client nodes, and
// starts it.
func newLab(t *testing.T, machines ...Config) *Lab {
	t.Helper()
	l, err := New(t.TempDir())
	must(t, err)
	t.Cleanup(func() {
		l.Report(t)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, cfg := range machines {
		_, err := l.Add(cfg)
		must(t, err)
	}
	must(t, l.Start(testContext(t)))
	return l
}

// load begins a load, and returns what ends it and tells its history.
func load(t *testing.T, l *Lab, name string) (running *Load, end func() History) {
	t.Helper()
	running = NewLoad(LoadConfig{Name: name, Record: filepath.Join(l.dir, name+".acked"), Lab: l})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx) }()
	end = func() History {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil // for a second call
		return running.History()
	}
	t.Cleanup(func() { end() })
	return running, end
}

// start has a lab's cluster run work.
func start(t *testing.T, l *Lab, id string, count int) *Work {
	t.Helper()
	work, err := l.StartWork(testContext(t), id, count)
	must(t, err)
	return work
}

// acked waits until so many more writes are acknowledged.
func acked(ctx context.Context, l *Load, more int) error {
	for want := len(l.History().Acked) + more; ; time.Sleep(5 * time.Millisecond) {
		if len(l.History().Acked) >= want {
			return nil
		}
		if ctx.Err() != nil {
			h := l.History()
			return errors.Join(ctx.Err(), errors.New("too few writes are acknowledged: "+last(h.Why)+last(h.Refused)))
		}
	}
}

func last(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}
