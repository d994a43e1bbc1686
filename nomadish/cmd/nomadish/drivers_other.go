//go:build !linux

package main

import (
	"errors"
	"log/slog"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

func subProgram([]string) (handled bool, code int) { return false, 0 }

func standardDrivers(string, *agent.File, bool, *slog.Logger) (map[string]drivers.Driver, []lifecycle.Part, error) {
	return nil, nil, errors.New("client nodes run on Linux only")
}
