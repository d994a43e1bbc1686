package fingerprint

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// cpu finds the cores and their speed. A machine that does not tell the speed counts as
// one of 1000 MHz, so that it can be used at all.
func cpu(_ context.Context, cfg *Config, n *nomadish.Node) error {
	info, err := readPairs(filepath.Join(cfg.Root, "proc/cpuinfo"), ":")
	if err != nil && runtime.GOOS == "linux" {
		return err
	}
	cores := onlineCores(cfg.Root)
	mhz := cmp.Or(frequency(cfg.Root), parseMHz(info["cpu MHz"]), 1000)
	total := cmp.Or(cfg.CPUTotalMHz, mhz*int64(cores))
	a := n.Attributes
	a["cpu.arch"] = runtime.GOARCH
	a["cpu.numcores"] = strconv.Itoa(cores)
	a["cpu.frequency"] = strconv.FormatInt(mhz, 10)
	a["cpu.reservablecores"] = strconv.Itoa(cores)
	a["cpu.totalcompute"] = strconv.FormatInt(total, 10)
	a["cpu.usablecompute"] = strconv.FormatInt(max(0, total-reservedMHz(n)), 10)
	if model := info["model name"]; model != "" {
		a["cpu.modelname"] = model
	}
	r := &n.NodeResources.Cpu
	r.CpuShares, r.TotalCpuCores = total, uint16(cores)
	r.ReservableCpuCores = make([]uint16, cores)
	for i := range r.ReservableCpuCores {
		r.ReservableCpuCores[i] = uint16(i)
	}
	return nil
}

func reservedMHz(n *nomadish.Node) int64 {
	if n.ReservedResources == nil {
		return 0
	}
	return int64(n.ReservedResources.Cpu.CpuShares)
}

// onlineCores counts the machine's cores, also those that this process may not use.
func onlineCores(root string) int {
	data, err := os.ReadFile(filepath.Join(root, "sys/devices/system/cpu/online"))
	if err != nil {
		return runtime.NumCPU()
	}
	count, err := countRanges(strings.TrimSpace(string(data)))
	if err != nil || count == 0 {
		return runtime.NumCPU()
	}
	return count
}

// countRanges counts the numbers in a list such as "0-3,8".
func countRanges(list string) (int, error) {
	count := 0
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			return 0, err
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(to); err != nil {
				return 0, err
			}
		}
		if last < first || last >= 1<<16 {
			return 0, fmt.Errorf("%q is no range of cores", part)
		}
		count += last - first + 1
	}
	return count, nil
}

// frequency is what the system tells of the first core, in MHz: without turbo if it knows.
func frequency(root string) int64 {
	for _, file := range []string{"base_frequency", "cpuinfo_max_freq"} {
		khz, err := readNumber(filepath.Join(root, "sys/devices/system/cpu/cpu0/cpufreq", file))
		if err == nil && khz > 0 {
			return khz / 1000
		}
	}
	return 0
}

func parseMHz(s string) int64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 1 || f > 1e6 {
		return 0
	}
	return int64(f)
}
