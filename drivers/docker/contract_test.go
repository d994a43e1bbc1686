//go:build linux

package docker_test

import (
	"strconv"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/drivertest"
)

// The contract holds of the driver.
func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		New:     func(testing.TB) drivers.Driver { return newDriver(t) }, // until the suite ends
		Exit:    func(code int) map[string]any { return run("exit", strconv.Itoa(code)) },
		Sleep:   func() map[string]any { return run("sleep") },
		Print:   func(text string) map[string]any { return run("print", text) },
		Prepare: func(_ testing.TB, spec *drivers.TaskSpec) { spec.Cgroup = containertest.Cgroup(spec) },
		Broken:  func() map[string]any { return with(run(), "entrypoint", []any{"/no/such/program"}) },
	})
}

// By its other names the driver knows the same tasks, says the same of itself, and asks
// containerd only once for all of them.
func TestAliases(t *testing.T) {
	d := newDriver(t)
	own, err := d.Fingerprint(testContext(t))
	if err != nil || own.Health != drivers.Healthy || own.Attributes["driver.docker"] != "1" || own.Attributes["driver.docker.version"] == "" {
		t.Fatalf("Fingerprint: %+v, %v", own, err)
	}
	for _, name := range docker.Aliases() {
		a := d.Alias(name)
		fp, err := a.Fingerprint(testContext(t))
		if err != nil || fp.Health != own.Health || fp.Attributes["driver."+name+".version"] != own.Attributes["driver.docker.version"] {
			t.Errorf("%s: Fingerprint: %+v, %v", name, fp, err)
		}
		spec := taskSpec(t, with(run("cat", "file"), "cwd", "/srv"))
		if got := output(t, a, spec); got != testImage {
			t.Errorf("%s: prints %q", name, got)
		}
		if _, known := d.Schema()["cwd"]; known || a.Schema()["cwd"].Doc == "" {
			t.Errorf("%s: cwd is an option of %s alone", name, name)
		}
		if _, ok := a.(drivers.Execer); !ok {
			t.Errorf("%s runs no commands in tasks", name)
		}
	}
}

// A disabled driver is not there and runs nothing, whoever asks and by whatever name.
func TestDisabled(t *testing.T) {
	d := newDriver(t, func(c *docker.Config) { c.Disabled = true })
	for _, driver := range []drivers.Driver{d, d.Alias("containerd")} {
		if fp, err := driver.Fingerprint(testContext(t)); err != nil || fp.Health != drivers.Undetected {
			t.Errorf("Fingerprint: %+v, %v", fp, err)
		}
		if _, err := driver.Start(testContext(t), taskSpec(t, run("exit", "0"))); err == nil {
			t.Error("it starts a task")
		}
	}
}
