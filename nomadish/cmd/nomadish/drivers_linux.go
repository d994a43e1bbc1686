package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/drivers/mock"
	"github.com/nomadish/nomadish/drivers/rawexec"
	"github.com/nomadish/nomadish/drivers/runtime"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// subProgram runs what this program starts itself as: containerd, shims, runc, supervisors.
func subProgram(args []string) (handled bool, code int) {
	if len(args) > 1 && args[1] == rawexec.Subcommand {
		if err := rawexec.Supervise(context.Background(), args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return true, 1
		}
		return true, 0
	}
	return runtime.Dispatch(args)
}

// standardDrivers makes the drivers of the released program.
func standardDrivers(dataDir string, plugins []*agent.PluginFile, dev bool, logger *slog.Logger) (map[string]drivers.Driver, []lifecycle.Part, error) {
	config := map[string]drivers.Options{rawexec.Name: drivers.NewOptions(nil)}
	plugin, values := docker.Name, map[string]any(nil)
	for _, p := range plugins {
		block, err := p.Values()
		if err != nil {
			return nil, nil, fmt.Errorf("plugin %q: %w", p.Name, err)
		}
		if p.Name == docker.Name || slices.Contains(docker.Aliases(), p.Name) {
			if values != nil {
				return nil, nil, fmt.Errorf("plugin %q and plugin %q are the same driver: one block is for both", plugin, p.Name)
			}
			plugin, values = p.Name, block
		}
		config[p.Name] = drivers.NewOptions(block)
	}
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, nil, err
	}
	all := map[string]drivers.Driver{}
	if dev || config[rawexec.Name].Bool("enabled") {
		raw, err := rawexec.New(rawexec.Config{Dir: filepath.Join(dataDir, "runtime", rawexec.Name)})
		if err != nil {
			return nil, nil, err
		}
		all[rawexec.Name] = raw
	}
	if dev {
		all[mock.Name] = mock.New(nil)
	}
	e, err := engine.New(engine.Config{DataDir: dataDir, Ephemeral: dev, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	o := drivers.NewOptions(values)
	config[plugin] = o
	containers, err := container.New(container.Config{Seccomp: runtime.Seccomp(), Logger: logger}, e)
	if err != nil {
		return nil, nil, err
	}
	store, err := images.New(imageConfig(o, logger), containers)
	if err != nil {
		return nil, nil, fmt.Errorf("plugin %q: %w", plugin, err)
	}
	cfg, notices, err := docker.ReadPlugin(values)
	if err != nil {
		return nil, nil, fmt.Errorf("plugin %q: %w", plugin, err)
	}
	for _, n := range notices {
		logger.Warn("plugin option", "plugin", plugin, "notice", n)
	}
	cfg.Logger = logger
	inContainers := docker.New(cfg, containers, store)
	all[docker.Name] = inContainers
	for _, name := range docker.Aliases() {
		all[name] = inContainers.Alias(name)
	}
	for name, o := range config {
		if err := o.Err(); err != nil {
			return nil, nil, fmt.Errorf("plugin %q: %w", name, err)
		}
	}
	return all, []lifecycle.Part{containers.Run, store.Run}, nil
}
