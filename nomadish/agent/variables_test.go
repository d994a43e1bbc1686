package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus"
)

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text)
}

// The items of variables, their keys too, are in no file of the agent's, neither in the log nor
// in a snapshot, and in nothing that it logs. It reads them again after a restart.
func TestVariablesAreSealed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	raw := make([]byte, 48)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	key, value, wrong := hex.EncodeToString(raw[:16]), hex.EncodeToString(raw[16:32]), hex.EncodeToString(raw[32:])
	var log lines
	dir := t.TempDir()
	cfg := agent.Config{
		Name: "test", DataDir: dir, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Server: &server.Config{Consensus: consensus.Config{SnapshotThreshold: 20, SnapshotInterval: 20 * time.Millisecond}},
	}
	v := &nomadish.Variable{Items: nomadish.VariableItems{key: value}}
	v.Path = "a/b"
	write := func(ctx context.Context, c *api.Client) error {
		if err := led(ctx, c, v); err != nil {
			return err
		}
		for range 50 {
			if _, err := c.Variables().Set(ctx, v, nil); err != nil {
				return err
			}
		}
		late := *v
		late.Items = nomadish.VariableItems{key: wrong}
		if _, err := c.Variables().Set(ctx, &late, new(uint64)); nomadish.KindOf(err) != nomadish.KindConflict {
			return errors.Join(errors.New("no conflict"), err)
		}
		held, err := c.Variables().Acquire(ctx, v)
		if err != nil {
			return err
		}
		if err := c.Variables().Release(ctx, held); err != nil {
			return err
		}
		return snapshotIn(ctx, dir)
	}
	if err := agent.With(ctx, cfg, write); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, canary := range []string{key, value, wrong} {
			if bytes.Contains(content, []byte(canary)) {
				t.Errorf("%s shows what a variable holds", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		if err := led(ctx, c, v); err != nil {
			return err
		}
		got, _, err := c.Variables().Variable(ctx, "a/b", nil)
		if err == nil && got.Items[key] != value {
			err = errors.New("the variable is another one after a restart")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, canary := range []string{key, value, wrong} {
		if log.contains(canary) {
			t.Error("the agent's log shows what a variable holds")
		}
	}
}

// led writes a variable of its own, once there is a leader.
func led(ctx context.Context, c *api.Client, like *nomadish.Variable) error {
	first := *like
	first.Path = "first"
	for {
		_, err := c.Variables().Set(ctx, &first, nil)
		if err == nil || nomadish.KindOf(err) != nomadish.KindNoLeader {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// snapshotIn waits until there is a snapshot.
func snapshotIn(ctx context.Context, dir string) error {
	for {
		found, err := filepath.Glob(filepath.Join(dir, "server", "*", "snapshots", "*"))
		if err != nil {
			return err
		}
		more, err := filepath.Glob(filepath.Join(dir, "server", "snapshots", "*"))
		if err != nil || len(found)+len(more) > 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("no snapshot")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
