package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
func standardDrivers(dataDir string, file *agent.File, dev bool, logger *slog.Logger) (map[string]drivers.Driver, []lifecycle.Part, error) {
	config := map[string]drivers.Options{rawexec.Name: drivers.NewOptions(nil)}
	plugin, values := docker.Name, map[string]any(nil)
	for _, p := range file.Plugins {
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
	runcPath, seccomp, err := runcOf(o, logger)
	if err != nil {
		return nil, nil, fmt.Errorf("plugin %q: %w", plugin, err)
	}
	containers, err := container.New(container.Config{Runc: runcPath, Seccomp: seccomp, Logger: logger}, e)
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
	var chroot map[string]string
	if file.Client != nil {
		chroot = file.Client.ChrootEnv
	}
	boxes, err := sandboxes(func(name string) drivers.Options {
		if o, ok := config[name]; ok {
			return o
		}
		return drivers.NewOptions(nil)
	}, chroot, containers)
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(all, boxes)
	for name, o := range config {
		if err := o.Err(); err != nil {
			return nil, nil, fmt.Errorf("plugin %q: %w", name, err)
		}
	}
	maps.DeleteFunc(all, func(name string, _ drivers.Driver) bool { return !file.Offers(namesOf(name)...) })
	return all, []lifecycle.Part{containers.Run, store.Run}, nil
}

// namesOf returns all names of the driver that one of them is for.
func namesOf(driver string) []string {
	if docks := append(docker.Aliases(), docker.Name); slices.Contains(docks, driver) {
		return docks
	}
	return []string{driver}
}

// runcOf says which runc makes containers, empty for the one in this program, and whether it
// filters system calls.
func runcOf(o drivers.Options, logger *slog.Logger) (path string, seccomp bool, err error) {
	path = o.String("runc")
	if path == "" {
		return "", runtime.Seccomp(), nil
	}
	r, err := container.ProbeRunc(context.Background(), path)
	if errors.Is(err, container.ErrVulnerable) {
		if o.Bool("allow_vulnerable_runc") {
			logger.Warn("runc has known holes", "path", path, "err", err)
			err = nil
		} else {
			err = fmt.Errorf("%w; leave the option runc out to use the one in this program, or set allow_vulnerable_runc", err)
		}
	}
	return path, r.Seccomp, err
}
