package consensus

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// slogger lets raft write to a slog.Logger.
type slogger struct {
	log  *slog.Logger
	name string
	args []any
}

var _ hclog.Logger = slogger{}

func newHCLog(l *slog.Logger, name string) hclog.Logger { return slogger{log: l, name: name} }

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// Log implements hclog.Logger.
func (s slogger) Log(l hclog.Level, msg string, args ...any) {
	if !s.log.Enabled(context.Background(), level(l)) {
		return
	}
	formatted := make([]any, len(args))
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		formatted[i] = a
	}
	s.log.Log(context.Background(), level(l), msg, formatted...) //nolint:sloglint // raft has the message
}

// Trace implements hclog.Logger.
func (s slogger) Trace(msg string, args ...any) { s.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (s slogger) Debug(msg string, args ...any) { s.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (s slogger) Info(msg string, args ...any) { s.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (s slogger) Warn(msg string, args ...any) { s.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (s slogger) Error(msg string, args ...any) { s.Log(hclog.Error, msg, args...) }

func (s slogger) enabled(l hclog.Level) bool { return s.log.Enabled(context.Background(), level(l)) }

// IsTrace implements hclog.Logger.
func (s slogger) IsTrace() bool { return s.enabled(hclog.Trace) }

// IsDebug implements hclog.Logger.
func (s slogger) IsDebug() bool { return s.enabled(hclog.Debug) }

// IsInfo implements hclog.Logger.
func (s slogger) IsInfo() bool { return s.enabled(hclog.Info) }

// IsWarn implements hclog.Logger.
func (s slogger) IsWarn() bool { return s.enabled(hclog.Warn) }

// IsError implements hclog.Logger.
func (s slogger) IsError() bool { return s.enabled(hclog.Error) }

// ImpliedArgs implements hclog.Logger.
func (s slogger) ImpliedArgs() []any { return s.args }

// With implements hclog.Logger.
func (s slogger) With(args ...any) hclog.Logger {
	return slogger{log: s.log.With(args...), name: s.name, args: append(s.args[:len(s.args):len(s.args)], args...)}
}

// Name implements hclog.Logger.
func (s slogger) Name() string { return s.name }

// Named implements hclog.Logger.
func (s slogger) Named(name string) hclog.Logger { s.name += "." + name; return s }

// ResetNamed implements hclog.Logger.
func (s slogger) ResetNamed(name string) hclog.Logger { s.name = name; return s }

// SetLevel does nothing: the slog.Logger has the level.
func (slogger) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (s slogger) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Debug, hclog.Info, hclog.Warn} {
		if s.enabled(l) {
			return l
		}
	}
	return hclog.Error
}

// StandardLogger implements hclog.Logger.
func (s slogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(s.log.Handler(), slog.LevelInfo)
}

// StandardWriter implements hclog.Logger.
func (s slogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return s.StandardLogger(o).Writer()
}
