//go:build linux

package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
)

// Runc is a runc of the system, in place of the one in the program.
type Runc struct {
	Path    string
	Version string
	Seccomp bool // whether it can filter system calls
	Mapped  bool // whether it can map the owners of what it mounts
}

// ErrVulnerable says that a runc has published holes by which a task gets the host.
var ErrVulnerable = errors.New("this runc lets tasks out of their containers")

// runcTimeout bounds asking a runc what it is.
const runcTimeout = 10 * time.Second

// ProbeRunc asks a runc of the system what it is. One with a critical hole is an
// ErrVulnerable, with what is known of it.
func ProbeRunc(ctx context.Context, path string) (Runc, error) {
	r := Runc{Path: path}
	if !filepath.IsAbs(path) {
		return r, fmt.Errorf("runc: %q is no absolute path", path)
	}
	ctx, cancel := context.WithTimeout(ctx, runcTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return r, fmt.Errorf("runc: %s --version: %w", path, err)
	}
	first, _, _ := bytes.Cut(out, []byte("\n"))
	name, number, _ := strings.Cut(string(first), " version ")
	if name != "runc" {
		return r, fmt.Errorf("runc: %s says %q and not which version of runc it is", path, first)
	}
	r.Version = strings.TrimSpace(number)
	if features, err := exec.CommandContext(ctx, path, "features").Output(); err == nil { // older ones can't say
		var f struct {
			Linux struct {
				Seccomp         struct{ Enabled bool }
				MountExtensions struct{ IDMap struct{ Enabled bool } }
			}
		}
		if err := json.Unmarshal(features, &f); err != nil {
			return r, fmt.Errorf("runc: %s features: %w", path, err)
		}
		r.Seccomp, r.Mapped = f.Linux.Seccomp.Enabled, f.Linux.MountExtensions.IDMap.Enabled
	}
	return r, CheckRunc(r.Version)
}

// holes are those of runc by which a task gets the host, with the releases that fixed them;
// of older lines there is none.
var holes = []struct {
	name  string
	fixed []string
}{
	{"CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881", []string{"1.2.8", "1.3.3", "1.4.0-rc.3"}},
	{"CVE-2026-41579", []string{"1.3.6", "1.4.3"}},
}

// CheckRunc refuses the versions of runc that have critical holes.
func CheckRunc(text string) error {
	plain, _, _ := strings.Cut(text, "+") // of distributions
	v, err := version.NewVersion(strings.Replace(plain, "~", "-", 1))
	if err != nil {
		return fmt.Errorf("runc: version %q: %w", text, err)
	}
	for _, hole := range holes {
		if !past(v, hole.fixed) {
			return fmt.Errorf("%w: version %s has %s, fixed in %s", ErrVulnerable, text, hole.name, strings.Join(hole.fixed, ", "))
		}
	}
	return nil
}

// past says whether a version has a fix: it is of a line that has one and not before it, or
// of a line after all that needed one.
func past(v *version.Version, fixed []string) bool {
	for _, text := range fixed {
		f := version.Must(version.NewVersion(text))
		if line(v) == line(f) {
			return v.Compare(f) >= 0
		}
	}
	last := version.Must(version.NewVersion(fixed[len(fixed)-1]))
	return v.Compare(last) > 0
}

// line is the major and minor number.
func line(v *version.Version) [2]int64 {
	s := v.Segments64()
	return [2]int64{s[0], s[1]}
}
