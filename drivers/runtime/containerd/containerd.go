//go:build linux

// Package containerd is containerd's server as a sub-program of the binary, with the
// plugins that the container driver needs and no others. It is the only place that links
// the server.
package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/containerd/containerd/v2/cmd/containerd/server"
	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/runtime/journal"
	"github.com/nomadish/nomadish/drivers/runtime/layout"
	"github.com/nomadish/nomadish/drivers/runtime/trees"
)

// oomScore keeps the kernel from choosing containerd and its shims before the tasks.
const oomScore = -900

// Serve runs containerd until the process is told to end. It refuses to start beside another
// one of the same layout.
func Serve(ctx context.Context, l layout.Layout) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	lock, err := acquire(l)
	if err != nil {
		return err
	}
	defer lock.Close()
	logs, err := redirectLog(l.Log())
	if err != nil {
		return err
	}
	defer logs.Close() //nolint:errcheck // the process ends
	if err := trees.Join(l.Cgroup()); err != nil {
		log.G(ctx).WithError(err).Warn("stay in the agent's control group") // tasks have their own all the same
	}
	cfg := serverConfig(l)
	if err := server.CreateTopLevelDirectories(cfg); err != nil {
		return err
	}
	if err := mount.SetTempMountLocation(l.Mounts()); err != nil {
		return fmt.Errorf("temporary mounts: %w", err)
	}
	if warnings, err := mount.CleanupTempMounts(0); err != nil || len(warnings) > 0 {
		log.G(ctx).WithError(errors.Join(append(warnings, err)...)).Warn("clean up temporary mounts")
	}
	finishTasks()
	s, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	s.Wait() // until all plugins are ready
	<-ctx.Done()
	s.Stop()
	return os.Remove(l.Process())
}

func serverConfig(l layout.Layout) *config.Config {
	return &config.Config{
		Version:  version.ConfigVersion,
		Root:     l.Root(),
		State:    l.State(),
		OOMScore: oomScore,
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc":  map[string]any{"address": l.Socket()},
			"io.containerd.server.v1.ttrpc": map[string]any{"address": l.EventSocket()},
			// Files of a removed container go at once, not after a hundred more changes.
			"io.containerd.gc.v1.scheduler": map[string]any{"deletion_threshold": 1, "schedule_delay": "50ms"},
			"io.containerd.shim.v1.manager": map[string]any{
				"socket_dir": l.ShimSockets(),
				"env":        []string{journal.Env + "=" + l.Exits(), "TMPDIR=" + l.Mounts()},
			},
		},
	}
}
