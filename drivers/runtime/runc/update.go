//go:build linux && cgo

package runc

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// update changes the limits of a running container to those of --resources (a file, or "-"
// for standard input). What the resources leave out stays.
func (c *command) update() error {
	in := c.stdin
	if c.resources != "-" {
		f, err := os.Open(c.resources)
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		defer f.Close()
		in = f
	}
	var want specs.LinuxResources
	if err := json.NewDecoder(io.LimitReader(in, 1<<20)).Decode(&want); err != nil {
		return fmt.Errorf("update: resources: %w", err)
	}
	container, err := c.load()
	if err != nil {
		return err
	}
	config := container.Config()
	apply(config.Cgroups.Resources, &want)
	return container.Set(config)
}

func apply(r *cgroups.Resources, want *specs.LinuxResources) {
	if m := want.Memory; m != nil {
		set(&r.Memory, m.Limit)
		set(&r.MemoryReservation, m.Reservation)
		set(&r.MemorySwap, m.Swap)
	}
	if cpu := want.CPU; cpu != nil {
		set(&r.CpuShares, cpu.Shares)
		set(&r.CpuQuota, cpu.Quota)
		set(&r.CpuPeriod, cpu.Period)
		setString(&r.CpusetCpus, cpu.Cpus)
		setString(&r.CpusetMems, cpu.Mems)
	}
	if p := want.Pids; p != nil {
		r.PidsLimit = p.Limit
	}
	for k, v := range want.Unified {
		if r.Unified == nil {
			r.Unified = map[string]string{}
		}
		r.Unified[k] = v
	}
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func setString(to *string, from string) {
	if from != "" {
		*to = from
	}
}
