//go:build linux

package java

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// installed is the host's Java.
type installed struct {
	program string // with all links resolved
	home    string // the directory that it is part of
	changed time.Time
	version string // 17.0.15
	runtime string // OpenJDK Runtime Environment (build …)
	vm      string // OpenJDK 64-Bit Server VM (build …)
}

// errMissing says that there is no Java.
var errMissing = errors.New("java is not installed")

// askTimeout bounds asking Java for its version.
const askTimeout = 30 * time.Second

// find finds Java, and asks it what it is when it is another one than the last time: starting
// a virtual machine is not cheap.
func (d *Driver) find(ctx context.Context) (installed, error) {
	program, err := exec.LookPath(cmp.Or(d.program, "java"))
	if err != nil {
		return installed{}, fmt.Errorf("%w: %w", errMissing, err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return installed{}, fmt.Errorf("java: %w", err)
	}
	info, err := os.Stat(program)
	if err != nil {
		return installed{}, fmt.Errorf("java: %w", err)
	}
	d.mu.Lock()
	known := d.known
	d.mu.Unlock()
	if known.program == program && known.changed.Equal(info.ModTime()) {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-version")
	cmd.Env = []string{"PATH=/usr/bin:/bin"} // no options from the agent's environment
	out, err := cmd.CombinedOutput()
	if err != nil {
		return installed{}, fmt.Errorf("java -version: %w: %s", err, bytes.TrimSpace(out[:min(len(out), 1024)]))
	}
	found, err := parseVersion(string(out))
	if err != nil {
		return installed{}, err
	}
	found.program, found.home, found.changed = program, filepath.Dir(filepath.Dir(program)), info.ModTime()
	d.mu.Lock()
	d.known = found
	d.mu.Unlock()
	return found, nil
}

// parseVersion reads what java -version says: three lines, after warnings perhaps.
func parseVersion(out string) (installed, error) {
	var lines []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if len(lines) > 0 || strings.Contains(line, ` version "`) {
			lines = append(lines, line)
		}
	}
	if len(lines) < 3 {
		return installed{}, fmt.Errorf("java -version says %q, which is no version", strings.TrimSpace(out[:min(len(out), 200)]))
	}
	_, quoted, _ := strings.Cut(lines[0], `"`)
	version, _, _ := strings.Cut(quoted, `"`)
	return installed{version: version, runtime: lines[1], vm: lines[2]}, nil
}
