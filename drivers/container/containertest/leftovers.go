//go:build linux

package containertest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leftovers says what of the runtime is still on the machine.
func (w *World) leftovers() error {
	var errs []error
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	errs = append(errs, err)
	run := w.Layout().Run
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && (strings.HasPrefix(f[4], run) || strings.HasPrefix(f[4], w.Dir)) {
			errs = append(errs, fmt.Errorf("mount %s", f[4]))
		}
	}
	for pid, exe := range w.Processes() {
		errs = append(errs, fmt.Errorf("process %s of %s", pid, exe))
	}
	if _, err := os.Stat(run); err == nil {
		errs = append(errs, fmt.Errorf("directory %s", run))
	}
	return errors.Join(append(errs, groups())...)
}

// groups finds control groups of tasks.
func groups() error {
	var errs []error
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && filepath.Base(filepath.Dir(path)) == group() {
			errs = append(errs, fmt.Errorf("control group %s", path))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return errors.Join(append(errs, err)...)
}

// Processes returns those of the runtime and of the test program: the executable by pid, as
// the process itself sees it. Other packages run the same test program at the same time: those
// in the control groups of this one's tasks are its own.
func (w *World) Processes() map[string]string {
	out := map[string]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err != nil {
			continue
		}
		in, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cgroup")) // one that has just ended is in none
		if exe == w.Program || (exe == "/task" || exe == "/local/task") && strings.Contains(string(in), group()+"/") {
			out[strings.Split(link, "/")[2]] = exe
		}
	}
	return out
}

// Count is how much of the runtime is on the machine.
type Count struct {
	Mounts, Processes, Files, Snapshots int
	names                               string
}

// Census counts.
func (w *World) Census(t testing.TB) Count {
	t.Helper()
	l := w.Layout()
	c := Count{Mounts: strings.Count(Read(t, "/proc/self/mountinfo"), l.Run), Processes: len(w.Processes())}
	for _, pattern := range []string{
		l.Exits() + "/*", l.Files() + "/*", l.RuncRoot() + "/*/*", l.ShimSockets() + "/*", l.Streams() + "/*",
		l.State() + "/io.containerd.runtime.v2.task/*/*", l.Root() + "/io.containerd.runtime.v2.task/*/*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		c.Files += len(found)
		c.names += strings.Join(found, "\n")
	}
	found, err := filepath.Glob(l.Root() + "/io.containerd.snapshotter.v1.*/snapshots/*")
	if err != nil {
		t.Fatal(err)
	}
	c.Snapshots = len(found)
	if err := groups(); err != nil {
		c.Files += 1000
	}
	return c
}

// Calm returns the census once it stays the same: earlier tests' garbage has been collected.
func (w *World) Calm(t testing.TB) Count {
	t.Helper()
	before, since := w.Census(t), time.Now()
	Eventually(t, "earlier tests' garbage is collected", func() bool {
		if now := w.Census(t); now != before {
			before, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
	return before
}

// Returned waits until as much is on the machine as before.
func (w *World) Returned(t testing.TB, before Count) {
	t.Helper()
	var after Count
	defer func() { t.Logf("before %+v, after %+v", before, after) }()
	Eventually(t, "everything is given back", func() bool {
		after = w.Census(t)
		return after == before
	})
}
