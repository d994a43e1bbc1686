package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Bounds of monitors.
const (
	maxMonitors    = 64
	maxMonitorLine = 8 << 10 // bytes; the rest of a longer line is cut off
	monitorBacklog = 512     // lines that a slow reader may lag before lines are dropped
)

// Monitor is a log handler that passes records on to another one, and to whoever reads the
// log over the API, at the level that the reader asks for.
type Monitor struct {
	hub  *monitorHub
	next slog.Handler
	text slog.Handler // attributes for the hub, without time, level and message
	json slog.Handler // whole lines for the hub
}

// NewMonitor returns a Monitor in front of a handler.
func NewMonitor(next slog.Handler) *Monitor {
	hub := &monitorHub{readers: map[*monitorReader]struct{}{}}
	hub.lowest.Store(int64(nobodyReads))
	all := slog.Level(-128)
	return &Monitor{
		hub: hub, next: next,
		text: slog.NewTextHandler(&hub.line, &slog.HandlerOptions{Level: all, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		}}),
		json: slog.NewJSONHandler(&hub.line, &slog.HandlerOptions{Level: all, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.TimeKey:
				a.Key = "@timestamp"
			case slog.MessageKey:
				a.Key = "@message"
			case slog.LevelKey:
				return slog.String("@level", strings.ToLower(a.Value.String()))
			}
			return a
		}}),
	}
}

// Enabled says that somebody wants records of a level.
func (m *Monitor) Enabled(ctx context.Context, level slog.Level) bool {
	return int64(level) >= m.hub.lowest.Load() || m.next.Enabled(ctx, level)
}

// Handle passes a record on.
func (m *Monitor) Handle(ctx context.Context, r slog.Record) error {
	if int64(r.Level) >= m.hub.lowest.Load() {
		if err := m.hub.publish(ctx, m, r); err != nil {
			return err
		}
	}
	if !m.next.Enabled(ctx, r.Level) {
		return nil
	}
	return m.next.Handle(ctx, r)
}

// WithAttrs returns a Monitor whose records have attributes, for the same readers.
func (m *Monitor) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Monitor{m.hub, m.next.WithAttrs(attrs), m.text.WithAttrs(attrs), m.json.WithAttrs(attrs)}
}

// WithGroup returns a Monitor whose records are in a group, for the same readers.
func (m *Monitor) WithGroup(name string) slog.Handler {
	return &Monitor{m.hub, m.next.WithGroup(name), m.text.WithGroup(name), m.json.WithGroup(name)}
}

// nobodyReads is above all levels.
const nobodyReads = slog.Level(1 << 20)

// monitorHub knows the readers.
type monitorHub struct {
	lowest atomic.Int64 // level that any reader wants

	mu      sync.Mutex
	ended   bool
	readers map[*monitorReader]struct{}
	line    strings.Builder
}

// monitorReader gets lines.
type monitorReader struct {
	level   slog.Level
	json    bool
	lines   chan string // closed when the agent ends
	dropped int         // lines, since the last that was put into lines; guarded by the hub
}

// publish gives a record to all who want it. A reader that does not keep up loses lines.
func (h *monitorHub) publish(ctx context.Context, m *Monitor, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var forms [2]string
	for reader := range h.readers {
		if r.Level < reader.level {
			continue
		}
		form := 0
		if reader.json {
			form = 1
		}
		if forms[form] == "" {
			var err error
			if forms[form], err = h.format(ctx, m, r, reader.json); err != nil {
				return err
			}
		}
		reader.put(forms[form])
	}
	return nil
}

// format makes a line of a record.
func (h *monitorHub) format(ctx context.Context, m *Monitor, r slog.Record, asJSON bool) (string, error) {
	h.line.Reset()
	handler := m.json
	if !asJSON {
		handler = m.text
		fmt.Fprintf(&h.line, "%s [%s] %s: ", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Level, oneLine(r.Message))
	}
	if err := handler.Handle(ctx, r); err != nil {
		return "", err
	}
	line := strings.TrimSuffix(strings.TrimRight(h.line.String(), " \n"), ":")
	if len(line) > maxMonitorLine {
		line = line[:maxMonitorLine] + "…"
	}
	return line + "\n", nil
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

func (r *monitorReader) put(line string) {
	if r.dropped > 0 && !r.json {
		line = fmt.Sprintf("[WARN] monitor: %d lines were dropped, as they were not read in time\n%s", r.dropped, line)
	}
	if r.dropped > 0 && r.json {
		line = fmt.Sprintf("{\"@level\":\"warn\",\"@message\":\"monitor: lines were dropped, as they were not read in time\",\"dropped\":%d}\n%s", r.dropped, line)
	}
	select {
	case r.lines <- line:
		r.dropped = 0
	default:
		r.dropped++
	}
}

// enter adds a reader.
func (h *monitorHub) enter(level slog.Level, asJSON bool) (*monitorReader, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readers) >= maxMonitors {
		return nil, nomadish.Errorf(nomadish.KindLimited, "monitor: %d readers are the most that an agent takes", maxMonitors)
	}
	r := &monitorReader{level: level, json: asJSON, lines: make(chan string, monitorBacklog)}
	if h.ended {
		close(r.lines)
		return r, nil
	}
	h.readers[r] = struct{}{}
	h.setLowest()
	return r, nil
}

func (h *monitorHub) leave(r *monitorReader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
	h.setLowest()
}

func (h *monitorHub) setLowest() {
	lowest := nobodyReads
	for r := range h.readers {
		lowest = min(lowest, r.level)
	}
	h.lowest.Store(int64(lowest))
}

// run keeps the readers until ctx ends; then their streams end.
func (h *monitorHub) run(ctx context.Context) error {
	<-ctx.Done()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for r := range h.readers {
		close(r.lines)
	}
	clear(h.readers)
	h.setLowest()
	return nil
}

// logLevels are the names of levels.
var logLevels = map[string]slog.Level{
	"": slog.LevelInfo, "trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warn": slog.LevelWarn, "error": slog.LevelError,
}

// maxFrame bounds the lines that one frame holds.
const maxFrame = 64 << 10

// stream calls emit with lines at or above a level until ctx ends or the agent does.
func (h *monitorHub) stream(ctx context.Context, req *nomadish.MonitorRequest, emit func(*nomadish.StreamFrame) error) error {
	r, err := h.enter(logLevels[strings.ToLower(req.LogLevel)], req.LogJSON)
	if err != nil {
		return err
	}
	defer h.leave(r)
	var offset int64
	for {
		var data []byte
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-r.lines:
			if !ok {
				return nil
			}
			data = r.more([]byte(line))
		}
		offset += int64(len(data))
		if err := emit(&nomadish.StreamFrame{Data: data, Offset: offset}); err != nil {
			return err
		}
	}
}

// more adds the lines that are there already.
func (r *monitorReader) more(data []byte) []byte {
	for len(data) < maxFrame-2*maxMonitorLine {
		select {
		case line, ok := <-r.lines:
			if !ok {
				return data
			}
			data = append(data, line...)
		default:
			return data
		}
	}
	return data
}

// monitored returns a logger that can be read over the API, and what its readers are known to.
func monitored(logger *slog.Logger) (*slog.Logger, *monitorHub) {
	if m, ok := logger.Handler().(*Monitor); ok {
		return logger, m.hub
	}
	m := NewMonitor(logger.Handler())
	return slog.New(m), m.hub
}

// logRequest tells who reads the log at debug level of a request.
func (a *Agent) logRequest(method, path string, took time.Duration) {
	a.cfg.Logger.Debug("request complete", "method", method, "path", path, "duration", took)
}
