//go:build linux && cgo

package container_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/runtime/runc"
)

// A runc with critical holes is known by its version; the one in the program has none, and is
// the one that is said.
func TestCheckRunc(t *testing.T) {
	for text, ok := range map[string]bool{
		"1.1.5+ds1": false, "1.1.99": false, "1.2.7": false, "1.2.8": false, "1.3.2": false, "1.3.3": false, "1.3.5": false, "1.3.6": true, "1.3.6~rc1+ds1": false, "1.3.7+ds1": true,
		"1.4.0-rc.2": false, "1.4.0": false, "1.4.3-rc.1": false, "1.4.3": true, "1.5.0": true, "2.0.0": true, "0.1": false, runc.Version: true,
	} {
		if err := container.CheckRunc(text); (err == nil) != ok || err != nil && !errors.Is(err, container.ErrVulnerable) {
			t.Errorf("%s: %v, want accepted: %v", text, err, ok)
		}
	}
	if err := container.CheckRunc("new"); err == nil || errors.Is(err, container.ErrVulnerable) {
		t.Errorf("no version: %v", err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	linked := regexp.MustCompile(`opencontainers/runc v(\S+)`).FindSubmatch(mod)
	if linked == nil || string(linked[1]) != runc.Version {
		t.Errorf("linked is %s, said is %s", linked, runc.Version)
	}
}

// A runc of the system is asked what it is; what does not answer as one is none.
func TestProbeRunc(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := script("good", `case $1 in --version) printf 'runc version 1.3.6\ncommit: x\n';; features) echo '{"linux":{"seccomp":{"enabled":true}}}';; esac`)
	r, err := container.ProbeRunc(containertest.Context(t), good)
	if err != nil || r.Version != "1.3.6" || !r.Seccomp || r.Path != good {
		t.Errorf("%+v, %v", r, err)
	}
	old := script("old", `case $1 in --version) echo 'runc version 1.1.5+ds1';; *) exit 1;; esac`)
	if r, err := container.ProbeRunc(containertest.Context(t), old); !errors.Is(err, container.ErrVulnerable) || r.Version != "1.1.5+ds1" || r.Seccomp {
		t.Errorf("%+v, %v; want one with holes", r, err)
	}
	for _, path := range []string{"runc", script("other", "echo crun version 1.8"), script("bad", "exit 1"), filepath.Join(dir, "none")} {
		if _, err := container.ProbeRunc(containertest.Context(t), path); err == nil || errors.Is(err, container.ErrVulnerable) {
			t.Errorf("%s: error %v", path, err)
		}
	}
}
