package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
)

// reloader reads the configuration of a running agent again.
type reloader struct {
	flags  *agentFlags
	file   agent.File // as it was read last
	level  *slog.LevelVar
	certs  func() error // of the agent
	token  func(nomadish.SecretText)
	logger *slog.Logger

	hangups chan os.Signal
}

// read reads the files, and puts the flags over what they say.
func (f *agentFlags) read() (*agent.File, []string, error) {
	file, warnings, err := agent.Load(f.configs)
	if err != nil {
		return nil, nil, err
	}
	return file, warnings, f.apply(file)
}

// listen takes SIGHUP, which would end the program, from now on.
func (r *reloader) listen() (stop func()) {
	r.hangups = make(chan os.Signal, 1)
	signal.Notify(r.hangups, syscall.SIGHUP)
	return func() { signal.Stop(r.hangups) }
}

// during runs the agent, and reloads on each SIGHUP until it has ended.
func (r *reloader) during(ctx context.Context, run func(context.Context) error) error {
	watching, stop := context.WithCancel(ctx)
	var reloads sync.WaitGroup
	defer reloads.Wait()
	defer stop()
	reloads.Go(func() {
		for {
			select {
			case <-watching.Done():
				return
			case <-r.hangups:
				if err := r.reload(); err != nil {
					r.logger.Error("the configuration is not reloaded", "err", err)
				}
			}
		}
	})
	return run(ctx)
}

// reload gives effect to what can change while the agent runs. Where anything is wrong,
// nothing changes.
func (r *reloader) reload() error {
	file, warnings, err := r.flags.read()
	if err != nil {
		return err
	}
	level, err := logLevel(nomadish.Val(file.LogLevel))
	if err != nil {
		return err
	}
	if err := r.certs(); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	for _, w := range warnings {
		r.logger.Warn("configuration", "warning", w)
	}
	if keys := agent.NeedRestart(&r.file, file); len(keys) > 0 {
		r.logger.Warn("restart the agent for what has changed; tasks go on", "keys", strings.Join(keys, ", "))
	}
	if file.ACL != nil {
		r.token(nomadish.Val(file.ACL.ReplicationToken))
	}
	r.level.Set(level)
	r.file.LogLevel = file.LogLevel
	r.logger.Info("configuration reloaded", "log_level", strings.ToLower(level.String()))
	return nil
}
