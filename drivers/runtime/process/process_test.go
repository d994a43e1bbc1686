//go:build linux

package process

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process is known again by when it started, and killed only while it is the same one.
func TestProcessIsKnownAgain(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, ok := Find(cmd.Process.Pid)
	if !ok || !id.Alive() {
		t.Fatalf("a running process is not found: %+v", id)
	}
	path := filepath.Join(t.TempDir(), "pid")
	if err := Write(path, id); err != nil {
		t.Fatal(err)
	}
	if got := Read(path); got != id {
		t.Errorf("read %+v, want %+v", got, id)
	}
	for _, other := range []ID{
		{PID: id.PID, Start: id.Start + 1, Boot: id.Boot},
		{PID: id.PID, Start: id.Start, Boot: "another"},
		{},
	} {
		if other.Alive() {
			t.Errorf("%+v counts as alive", other)
		}
		if err := other.Kill(unix.SIGKILL, time.Second); err != nil {
			t.Errorf("kill %+v: %v", other, err)
		}
	}
	if !id.Alive() {
		t.Fatal("the wrong process was killed")
	}
	if err := id.Kill(unix.SIGKILL, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("a process that nobody has waited for counts as alive")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process was not killed")
	}
	if err := id.Kill(unix.SIGKILL, time.Second); err != nil {
		t.Errorf("killing an ended process: %v", err)
	}
	if got := Read(path + ".missing"); got.Alive() {
		t.Error("no file is a process")
	}
}
