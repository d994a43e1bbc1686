//go:build linux

package process

import (
	"bufio"
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A session is killed with what descends from it, also what has left it; nobody's and
// everybody's session is nothing to kill.
func TestKillSession(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap '' TERM HUP; sleep 1000 & echo $!; setsid sleep 1000 & echo $!; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var children []ID
	for lines := bufio.NewScanner(out); len(children) < 2 && lines.Scan(); {
		pid, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			t.Fatal(err)
		}
		id, ok := Find(pid)
		if !ok {
			t.Fatalf("%d does not run", pid)
		}
		children = append(children, id)
	}
	id, _ := Find(cmd.Process.Pid)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, other := range []ID{{}, {PID: 1}, {PID: id.PID, Start: id.Start + 1}} {
		if err := other.KillSession(ctx); err != nil || !id.Alive() {
			t.Fatalf("%+v: %v, the process lives: %t", other, err, id.Alive())
		}
	}
	if err := id.KillSession(ctx); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for _, c := range append(children, id) {
		if c.Alive() {
			t.Errorf("%+v lives", c)
		}
	}
}
