package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish/api"
)

// The package starts an agent by itself: one server and one client node, which nobody but this machine
// reaches. With init its cluster becomes a secured one. With join it ends: the machine is of another cluster.

// packagedAddress is where the agent with the package's configuration answers.
const packagedAddress = "http://127.0.0.1:4646"

// stopPackaged ends the service that runs with the package's configuration, so that its data can be taken over.
func (s *setup) stopPackaged(ctx context.Context) error {
	if s.filesOnly || !s.service(ctx) || exec.CommandContext(ctx, "systemctl", "is-active", "--quiet", unit).Run() != nil {
		return nil
	}
	s.tell("stopping the service %s, which has the package's configuration; what it runs goes on", unit)
	return systemctl(ctx, "stop", unit)
}

// leavePackaged ends the cluster that the package has begun on this machine, where no work of it is under
// way. Its state is moved aside; back puts it in its place again and starts the service.
func (s *setup) leavePackaged(ctx context.Context) (back func(ctx context.Context) error, err error) {
	own := filepath.Join(s.dataDir, "server")
	if _, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) {
		return func(context.Context) error { return nil }, nil
	} else if err != nil {
		return nil, err
	}
	if err := idle(ctx, packagedAddress); err != nil {
		return nil, err
	}
	if err := s.stopPackaged(ctx); err != nil {
		return nil, err
	}
	aside := own + time.Now().UTC().Format(".20060102T150405Z")
	if err := os.Rename(own, aside); err != nil {
		return nil, err
	}
	s.tell("moved the state of the cluster that was this machine's alone to %s", aside)
	return func(ctx context.Context) error {
		if err := errors.Join(os.RemoveAll(own), os.Rename(aside, own)); err != nil {
			return err
		}
		s.tell("moved the state of the cluster that is this machine's alone back")
		if s.filesOnly || !s.service(ctx) {
			return nil
		}
		return systemctl(ctx, "start", unit)
	}, nil
}

// idle says why the agent at an address must not be ended for good: it has work.
func idle(ctx context.Context, address string) error {
	client, err := api.New(api.Config{Address: address})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerLate)
	defer cancel()
	all, _, err := client.Allocations().List(ctx, &api.Query{Namespace: "*"})
	if err != nil {
		return fmt.Errorf("this machine has a cluster of its own, as the package has begun it, and it can't be asked what it runs: %w\n\n"+
			"Start it with \"systemctl start nomadish\". If it is of no use any more, move %s away", err, systemData)
	}
	for _, a := range all {
		if a.ClientStatus == "running" || a.ClientStatus == "pending" {
			return fmt.Errorf("this machine has a cluster of its own, as the package has begun it, and runs the job %s of the namespace %s there.\n\n"+
				"Stop its jobs first, with \"nomadish job stop\"", a.JobID, a.Namespace)
		}
	}
	return nil
}

// systemctl runs systemd's command.
func systemctl(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s\n\n\"journalctl -u nomadish\" says more", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
