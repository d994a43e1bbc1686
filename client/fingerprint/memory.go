package fingerprint

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// memory finds the machine's memory, or what the agent's own control group leaves of it.
func memory(_ context.Context, cfg *Config, n *nomadish.Node) error {
	total, err := totalMemory(cfg.Root)
	if err != nil && cfg.MemoryTotalMB == 0 && runtime.GOOS == "linux" {
		return err
	}
	for _, file := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if limit, err := readNumber(filepath.Join(cfg.Root, file)); err == nil && limit > 0 {
			total = min(total, limit)
		}
	}
	if cfg.MemoryTotalMB > 0 {
		total = cfg.MemoryTotalMB << 20
	}
	n.Attributes["memory.totalbytes"] = strconv.FormatInt(total, 10)
	n.NodeResources.Memory.MemoryMB = cmp.Or(cfg.MemoryTotalMB, total>>20)
	return nil
}

func totalMemory(root string) (int64, error) {
	info, err := readPairs(filepath.Join(root, "proc/meminfo"), ":")
	if err != nil {
		return 0, err
	}
	kib, err := strconv.ParseInt(strings.TrimSuffix(info["MemTotal"], " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("total memory: %w", err)
	}
	return kib << 10, nil
}
