//go:build linux

package docker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
)

// minMemory is the least that a container starts with; the runtime itself runs in it first.
const minMemory = 10 << 20

// readLimits takes what a task may use.
func (s *settings) readLimits(o drivers.Options, c *Config, spec *drivers.TaskSpec) error {
	var errs []error
	hard := o.Int("memory_hard_limit")
	if hard < 0 || hard > 1<<40 {
		errs = append(errs, fmt.Errorf("memory_hard_limit: %d is no number of MiB", hard))
		hard = 0
	}
	s.memoryHard = hard << 20
	limit := max(spec.Resources.Limit(), s.memoryHard)
	if limit > 0 && limit < minMemory {
		errs = append(errs, fmt.Errorf("memory: %d bytes is below the minimum of %d MiB", limit, minMemory>>20))
	}
	if s.memoryHard != 0 && s.memoryHard < spec.Resources.MemoryBytes {
		errs = append(errs, errors.New("memory_hard_limit: below the task's memory"))
	}
	if n := o.Int("cpu_cfs_period"); n != 0 && (n < 1000 || n > 1_000_000) {
		errs = append(errs, fmt.Errorf("cpu_cfs_period: %d is outside 1000 to 1000000", n))
	} else {
		s.cpuPeriod = uint64(n)
	}
	switch n := o.Int("oom_score_adj"); {
	case n < -1000 || n > 1000:
		errs = append(errs, fmt.Errorf("oom_score_adj: %d is outside -1000 to 1000", n))
	case n < 0 && !s.privileged:
		errs = append(errs, fmt.Errorf("oom_score_adj: %d is refused: below 0 it is for privileged tasks", n))
	default:
		s.oomScore = int(n)
	}
	if s.shmSize = o.Int("shm_size"); s.shmSize < 0 {
		errs = append(errs, fmt.Errorf("shm_size: %d is negative", s.shmSize))
	}
	errs = append(errs, s.readPids(o, c), s.readRlimits(o))
	return errors.Join(errs...)
}

func (s *settings) readPids(o drivers.Options, c *Config) error {
	switch s.pidsLimit = o.Int("pids_limit"); {
	case s.pidsLimit == -1 && c.PidsLimit == 0: // Docker's word for none
		s.pidsLimit = 0
	case s.pidsLimit < 0:
		return fmt.Errorf("pids_limit: %d is negative", s.pidsLimit)
	case c.PidsLimit > 0 && s.pidsLimit > c.PidsLimit:
		return fmt.Errorf("pids_limit: %d is above this node's limit of %d", s.pidsLimit, c.PidsLimit)
	case s.pidsLimit == 0:
		s.pidsLimit = c.PidsLimit
	}
	return nil
}

func (s *settings) readRlimits(o drivers.Options) error {
	var errs []error
	limits := o.Map("ulimit")
	if n := o.Int("file_limit"); n > 0 {
		if limits == nil {
			limits = map[string]string{}
		}
		limits["nofile"] = strconv.FormatInt(n, 10)
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		r, err := rlimit(name, limits[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.rlimits = append(s.rlimits, r)
	}
	return errors.Join(errs...)
}

// rlimitNames are those of the kernel's limits of a process.
var rlimitNames = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
	"sigpending", "stack",
}

func rlimit(name, value string) (specs.POSIXRlimit, error) {
	if !slices.Contains(rlimitNames, name) {
		return specs.POSIXRlimit{}, fmt.Errorf("ulimit: there is no %q%s", name, nearest(name, rlimitNames))
	}
	soft, hard, two := strings.Cut(value, ":")
	if !two {
		hard = soft
	}
	low, err1 := limitValue(soft)
	high, err2 := limitValue(hard)
	if err := errors.Join(err1, err2); err != nil || low > high {
		return specs.POSIXRlimit{}, fmt.Errorf("ulimit: %s: %q is not SOFT:HARD", name, value)
	}
	return specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: low, Hard: high}, nil
}

func limitValue(s string) (uint64, error) {
	if s == "-1" || s == "unlimited" {
		return ^uint64(0), nil
	}
	return strconv.ParseUint(s, 10, 64)
}
