package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// watch returns what a reader of the log gets until the hub ends.
func watch(t *testing.T, hub *monitorHub, req *nomadish.MonitorRequest, use func()) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- hub.run(ctx) }()
	var got strings.Builder
	go func() {
		ended <- hub.stream(t.Context(), req, func(f *nomadish.StreamFrame) error {
			got.Write(f.Data)
			if f.Offset != int64(got.Len()) {
				t.Errorf("offset %d after %d bytes", f.Offset, got.Len())
			}
			return nil
		})
	}()
	synctest.Wait()
	use()
	synctest.Wait()
	cancel()
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
	return got.String()
}

// Readers get records at their own level, those of derived loggers too, one line each.
func TestMonitor(t *testing.T) {
	for _, tt := range []struct {
		req  nomadish.MonitorRequest
		want string
	}{
		{nomadish.MonitorRequest{LogLevel: "debug"}, "2000-01-01T00:00:00.000Z [DEBUG] low: a=1\n2000-01-01T00:00:00.000Z [WARN] two lines: part=x g.b=\"c d\"\n2000-01-01T00:00:00.000Z [INFO] bare\n"},
		{nomadish.MonitorRequest{LogLevel: "WARN"}, "2000-01-01T00:00:00.000Z [WARN] two lines: part=x g.b=\"c d\"\n"},
		{nomadish.MonitorRequest{LogLevel: "error"}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var own strings.Builder
			logger, hub := monitored(slog.New(slog.NewTextHandler(&own, &slog.HandlerOptions{Level: slog.LevelError})))
			if logger.Enabled(t.Context(), slog.LevelDebug) {
				t.Error("nobody reads, and debug records are made")
			}
			got := watch(t, hub, &tt.req, func() {
				logger.Debug("low", "a", 1)
				logger.With("part", "x").WithGroup("g").Warn("two\nlines", "b", "c d")
				logger.Info("bare")
			})
			if got != tt.want {
				t.Errorf("level %s:\n%swant:\n%s", tt.req.LogLevel, got, tt.want)
			}
			if own.Len() > 0 {
				t.Errorf("the agent's own log says %s", own.String())
			}
		})
	}
}

// Lines of JSON have the names that Nomad's have.
func TestMonitorJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hub := monitored(slog.New(slog.DiscardHandler))
		got := watch(t, hub, &nomadish.MonitorRequest{LogJSON: true}, func() { logger.Info("hello", "a", 1) })
		var line map[string]any
		if err := json.Unmarshal([]byte(got), &line); err != nil {
			t.Fatal(err)
		}
		if line["@level"] != "info" || line["@message"] != "hello" || line["a"] != 1.0 || line["@timestamp"] == nil {
			t.Errorf("line %v", line)
		}
	})
}

// A reader that is stuck costs a bounded number of lines, delays nobody, and is told how many
// it has lost. Very long lines are cut.
func TestMonitorDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, hub := monitored(slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		stuck, ended := make(chan bool), make(chan error, 1)
		var got strings.Builder
		go func() {
			ended <- hub.stream(ctx, &nomadish.MonitorRequest{}, func(f *nomadish.StreamFrame) error {
				<-stuck
				got.Write(f.Data)
				return nil
			})
		}()
		synctest.Wait()
		logger.Info("long", "text", strings.Repeat("x", 1<<20))
		synctest.Wait()
		for n := range monitorBacklog + 100 {
			logger.Info("a line", "number", n)
		}
		close(stuck)
		synctest.Wait()
		logger.Info("the last")
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		text := got.String()
		if !strings.Contains(text, "100 lines were dropped") || !strings.HasSuffix(text, "the last\n") || len(text) > 64<<10 {
			t.Errorf("%d bytes, of which the last are %q", len(text), text[max(0, len(text)-200):])
		}
	})
}

// Readers are bounded.
func TestMonitorsAreBounded(t *testing.T) {
	_, hub := monitored(slog.New(slog.DiscardHandler))
	for range maxMonitors {
		if _, err := hub.enter(slog.LevelInfo, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := hub.enter(slog.LevelInfo, false); nomadish.KindOf(err) != nomadish.KindLimited {
		t.Errorf("one more: %v", err)
	}
}

// Logging at a level that nobody reads allocates nothing.
func BenchmarkMonitorUnread(b *testing.B) {
	logger, _ := monitored(slog.New(slog.DiscardHandler))
	b.ReportAllocs()
	for b.Loop() {
		logger.LogAttrs(b.Context(), slog.LevelDebug, "nobody", slog.Duration("took", time.Second))
	}
}
