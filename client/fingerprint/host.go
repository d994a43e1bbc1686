package fingerprint

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

func host(_ context.Context, cfg *Config, n *nomadish.Node) error {
	a := n.Attributes
	name, err := os.Hostname()
	if err == nil {
		a["unique.hostname"] = name
	}
	a["kernel.name"] = runtime.GOOS
	a["kernel.arch"] = machine()
	a["arch"] = runtime.GOARCH
	release, kernelErr := os.ReadFile(filepath.Join(cfg.Root, "proc/sys/kernel/osrelease"))
	if kernelErr == nil {
		a["kernel.version"] = strings.TrimSpace(string(release))
	}
	a["os.name"], a["os.version"] = runtime.GOOS, ""
	values, osErr := readPairs(filepath.Join(cfg.Root, "etc/os-release"), "=")
	if osErr == nil {
		a["os.name"] = strings.Trim(values["ID"], `"'`)
		a["os.version"] = strings.Trim(values["VERSION_ID"], `"'`)
	}
	if runtime.GOOS != "linux" {
		return err
	}
	if os.Geteuid() != 0 {
		a["nomadish.unprivileged"] = "true"
	}
	return errors.Join(err, kernelErr)
}

// machine is the architecture under the name that uname gives it.
func machine() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

// readPairs reads a file of "name sep value" lines. The first value of a name counts.
func readPairs(path, sep string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), sep)
		name = strings.TrimSpace(name)
		if _, seen := out[name]; ok && !seen {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out, lines.Err()
}

// readNumber reads a file that holds one whole number.
func readNumber(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}

// cgroups finds the version of the control groups: 2 where one tree has all controllers.
func cgroups(_ context.Context, cfg *Config, n *nomadish.Node) error {
	mounts, err := os.ReadFile(filepath.Join(cfg.Root, "proc/self/mountinfo"))
	if err != nil {
		if runtime.GOOS != "linux" {
			return nil
		}
		return err
	}
	one, two := false, false
	for line := range strings.Lines(string(mounts)) {
		_, fs, _ := strings.Cut(line, " - ")
		one = one || strings.HasPrefix(fs, "cgroup ") && (strings.Contains(fs, "memory") || strings.Contains(fs, "cpu"))
		two = two || strings.HasPrefix(fs, "cgroup2 ")
	}
	switch {
	case one:
		n.Attributes["os.cgroups.version"] = "1"
	case two:
		n.Attributes["os.cgroups.version"] = "2"
	}
	return nil
}
