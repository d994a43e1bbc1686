//go:build linux

package sandbox

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nomadish/nomadish/drivers"
)

// newTask makes the directories of a task.
func newTask(t *testing.T) *drivers.TaskSpec {
	t.Helper()
	root := t.TempDir()
	spec := &drivers.TaskSpec{Dir: drivers.TaskDir{
		Alloc: filepath.Join(root, "alloc"), Task: filepath.Join(root, "task"),
		Local: filepath.Join(root, "task", "local"), Secrets: filepath.Join(root, "task", "secrets"),
	}}
	for _, dir := range []string{spec.Dir.Alloc, spec.Dir.Local, spec.Dir.Secrets} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return spec
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A program is looked for in the task's directories first, then in its volumes, then among the
// host's, and always under the path by which the task sees it.
func TestFind(t *testing.T) {
	spec := newTask(t)
	volume, host := t.TempDir(), t.TempDir()
	spec.Mounts = []drivers.Mount{{Source: volume, Target: "data"}}
	for _, file := range []string{
		spec.Dir.Local + "/both", spec.Dir.Task + "/both", spec.Dir.Task + "/own", spec.Dir.Local + "/app/run",
		volume + "/tool", host + "/usr/bin/tool", host + "/usr/bin/host", host + "/usr/local/bin/host",
	} {
		write(t, file)
	}
	s := &Sandbox{host: host}
	for command, want := range map[string]string{
		"both": "/local/both", "own": "/own", "local/both": "/local/both", "app/run": "/local/app/run", "tool": "/data/tool",
		"host": "/usr/local/bin/host", "/anything": "/anything", "": "", "absent": "", "../own": "/own", "a\x00b": "",
	} {
		if got, err := s.Find(spec, command); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", command, got, err, want)
		}
	}
	if !s.Has(spec, "/local/both") || s.Has(spec, "/usr/bin/host") || s.Has(spec, "/local") {
		t.Error("Has: want the task's files and no others")
	}
	if s.Shows(host + "/usr/bin") {
		t.Error("Shows: a directory elsewhere is seen")
	}
}

// While a task puts a link to a file of the host in its program's place and takes it away
// again, nothing but the program is made executable.
func TestProgramSwappedForLink(t *testing.T) {
	spec := newTask(t)
	canary := filepath.Join(t.TempDir(), "canary")
	write(t, canary)
	program, link := filepath.Join(spec.Dir.Local, "program"), filepath.Join(spec.Dir.Local, "link")
	if err := os.Symlink(canary, link); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var swaps sync.WaitGroup
	swaps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Link(canary+"-copy", program) // fails where something is: the race is the point
			_ = os.Rename(program, program+"-away")
			_ = os.Rename(link, program)
			_ = os.Rename(program, link)
		}
	})
	write(t, canary+"-copy")
	for range 10_000 {
		if err := makeExecutable(spec, "/local/program"); err != nil {
			t.Errorf("makeExecutable: %v", err)
			break
		}
	}
	close(stop)
	swaps.Wait()
	if info, err := os.Stat(canary); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the host's file has mode %v, %v", info.Mode(), err)
	}
}
