//go:build linux

package exec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/drivertest/probe"
	"github.com/nomadish/nomadish/drivers/exec"
)

// remapping is a node that gives tasks users of their own.
func remapping(c *sandbox.Config) { c.Users = &container.Pool{} }

// The contract holds of tasks with users of their own as well.
func TestContractRemapped(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		New:   func(testing.TB) drivers.Driver { return newDriver(t, remapping) }, // until the suite ends
		Exit:  func(code int) map[string]any { return run("exit", strconv.Itoa(code)) },
		Sleep: func() map[string]any { return run("sleep") },
		Print: func(text string) map[string]any { return run("print", text) },
		Prepare: func(t testing.TB, spec *drivers.TaskSpec) {
			spec.Cgroup = containertest.Cgroup(spec)
			world.Install(t, spec)
		},
		Broken: func() map[string]any { return map[string]any{"command": "/no/such/program"} },
	})
}

// A task's users are others on the host, while its own files and those of the host that it sees
// have the same owners on both sides.
func TestRemapped(t *testing.T) {
	d := newDriver(t, remapping)
	for user, want := range map[string]int{"": 65534, "root": 0} {
		t.Run("user "+user, func(t *testing.T) {
			spec := taskSpec(t, run("status", "Uid", "stat", "/usr", "cat", "/proc/self/uid_map",
				"write", "/alloc/a", "1", "write", "/local/b", "2", "write", "/c", "3", "write", "/secrets/e", "5", "write", "/usr/d", "4", "print", "ready", "sleep"))
			spec.User = user
			// The agent mounts secrets below the task's directory, which is its root.
			if err := unix.Mount("tmpfs", spec.Dir.Secrets, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(spec.Dir.Secrets, 0); err != nil {
					t.Error(err)
				}
			})
			own(t, spec)
			h := containertest.Start(t, d, spec)
			containertest.Ready(t, spec)
			said := drivertest.Said(t, spec.Stdout)
			if !strings.HasPrefix(said, fmt.Sprintf("Uid: %[1]d %[1]d %[1]d %[1]d\n755 0:0\n", want)) || !strings.Contains(said, "open /usr/d: read-only file system") {
				t.Errorf("the task sees %q", said)
			}
			for _, file := range []string{spec.Dir.Alloc + "/a", spec.Dir.Local + "/b", spec.Dir.Task + "/c", spec.Dir.Secrets + "/e"} {
				var st unix.Stat_t
				if err := unix.Lstat(file, &st); err != nil || int(st.Uid) != want {
					t.Errorf("%s belongs to %d, %v; want %d", file, st.Uid, err, want)
				}
			}
			var inside, first, count int
			users := containertest.Read(t, fmt.Sprintf("/proc/%d/uid_map", h.PID))
			if _, err := fmt.Sscan(users, &inside, &first, &count); err != nil || inside != 0 || first < 0x7000_0000 || count != 65536 {
				t.Errorf("uid_map is %q, %v", users, err)
			}
			status := containertest.Read(t, fmt.Sprintf("/proc/%d/status", h.PID))
			if !strings.Contains(status, fmt.Sprintf("\nUid:\t%d\t", first+want)) {
				t.Errorf("on the host it is not user %d:\n%s", first+want, status)
			}
		})
	}
}

// A node whose root can't be left behind gives no users: it says so at once.
func TestRemapNeedsPivot(t *testing.T) {
	cfg := sandbox.Config{Users: &container.Pool{}, NoPivotRoot: true}
	if _, err := exec.New(cfg, world.Runtime(t)); err == nil || !strings.Contains(err.Error(), "userns: can't go with no_pivot_root") {
		t.Errorf("New: %v", err)
	}
}

// What a task with users of its own can reach beyond itself is what the list says.
func TestProbesRemapped(t *testing.T) {
	for user, list := range map[string]string{"": "testdata/probes-users.txt", "root": "testdata/probes-users-root.txt"} {
		t.Run("user "+user, func(t *testing.T) {
			spec := world.Spec(t, map[string]any{"command": "probe"})
			spec.User = user
			if err := probe.Build(filepath.Join(spec.Dir.Local, "probe")); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(spec.Dir.Local, 0o755); err != nil {
				t.Fatal(err)
			}
			own(t, spec)
			probe.Compare(t, containertest.Output(t, newDriver(t, remapping), spec), list)
		})
	}
}
