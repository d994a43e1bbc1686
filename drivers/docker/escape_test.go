//go:build linux

package docker_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/examples/image/archive"
)

// No working directory is one of the host: neither a file that the runtime has open, named or
// behind a link, by the task or by its image.
func TestWorkDirStaysInside(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary")
	put(t, canary, "secret of the host")
	d := newDriver(t)
	up := strings.Repeat("../", 8) + strings.TrimPrefix(canary, "/")
	for n := 3; n < 12; n++ {
		spec := taskSpec(t, with(run("cat", up), "work_dir", "/local/link"))
		if err := os.Symlink("/proc/self/fd/"+strconv.Itoa(n), spec.Dir.Local+"/link"); err != nil {
			t.Fatal(err)
		}
		h, err := d.Start(testContext(t), spec)
		if err != nil {
			continue // the runtime refuses it
		}
		wait(t, d, h)
		if err := d.Remove(testContext(t), h); err != nil {
			t.Error(err)
		}
		if strings.Contains(drivertest.Said(t, spec.Stdout), "secret") {
			t.Errorf("through descriptor %d the task reads the host", n)
		}
	}
	path := filepath.Join(filepath.Dir(shared.archive), "cwd.tar")
	if err := shared.writeImage(path, "nomadish.dev/cwd:1", archive.Config{Entrypoint: []string{"/task"}, WorkingDir: "/x/../proc/self/fd/7"}); err != nil {
		t.Fatal(err)
	}
	_, err := d.Start(testContext(t), taskSpec(t, with(run(), "image", "nomadish.dev/cwd:1", "load", path)))
	if err == nil || !strings.Contains(err.Error(), "the image's work_dir: /x/../proc/self/fd/7 is refused") {
		t.Errorf("of an image: error %v", err)
	}
}

// The user of an image is read as strictly as a task's.
func TestUserOfImage(t *testing.T) {
	d := newDriver(t)
	for i, user := range []string{"4294967296", "-1", " 0", "0x0"} {
		path := filepath.Join(filepath.Dir(shared.archive), "user"+strconv.Itoa(i)+".tar")
		name := "nomadish.dev/user:" + strconv.Itoa(i)
		if err := shared.writeImage(path, name, archive.Config{Entrypoint: []string{"/task"}, User: user}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Start(testContext(t), taskSpec(t, with(run(), "image", name, "load", path))); err == nil || !strings.Contains(err.Error(), "user: ") {
			t.Errorf("user %q: error %v", user, err)
		}
	}
}

// What an image says in its STOPSIGNAL counts, by name or number; nonsense is told.
func TestStopSignalOfImage(t *testing.T) {
	d := newDriver(t)
	for signal, code := range map[string]int{"SIGUSR1": 40, "10": 40, "usr1": 40, "SIGNONSENSE": 143} {
		path := filepath.Join(filepath.Dir(shared.archive), "stop-"+signal+".tar")
		name := "nomadish.dev/stop:" + strings.ToLower(signal)
		if err := shared.writeImage(path, name, archive.Config{Entrypoint: []string{"/task"}, StopSignal: signal}); err != nil {
			t.Fatal(err)
		}
		spec := taskSpec(t, with(run("trap", "10", "40"), "image", name, "load", path, "init", true))
		h := start(t, d, spec)
		ready(t, spec)
		if err := d.Stop(testContext(t), h, "", time.Minute); err != nil {
			t.Fatal(err)
		}
		if exit := wait(t, d, h); exit.Code != code {
			t.Errorf("%s: exit %+v, want code %d", signal, exit, code)
		}
		if told := strings.Contains(shared.notices.of(spec.ID), "STOPSIGNAL"); told != (code == 143) {
			t.Errorf("%s: notice: %v", signal, told)
		}
	}
}
