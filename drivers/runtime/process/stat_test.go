//go:build linux

package process

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The fields are those of proc(5), whatever the process is called.
func TestParseStat(t *testing.T) {
	const rest = " 34 816 35 0 -1 4194560 1 2 3 4 150 25 10 5 20 0 1 0 12345 1 2 3\n"
	want := Stat{
		PID: 77, Parent: 34, Session: 35, State: 'S', Start: 12345,
		User: 1500 * time.Millisecond, System: 250 * time.Millisecond, Children: 150 * time.Millisecond,
	}
	for _, name := range []string{"sh", "", "a b", ") Z 1 (", "(((", "\n"} {
		got, err := parseStat([]byte("77 (" + name + ") S" + rest))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, text := range []string{"", "77", "77 (sh)", "77 (sh) S 1 2 3", "77 (sh) SS" + rest, "x (sh) S" + rest, "77 (sh) S x" + rest} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

// A process is among all, with its parent and session, until somebody has waited for it.
func TestStats(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	all, err := Stats()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(s Stat) bool { return s.PID == pid })
	if i < 0 || all[i].Parent != os.Getpid() || all[i].Session != pid || all[i].Ended() || !Running(pid) {
		t.Errorf("got %+v, want process %d, our child, in a session of its own", all[max(i, 0)], pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; {
		s, err := ReadStat(pid)
		if err != nil {
			t.Fatal(err)
		}
		ended = s.Ended()
	}
	if Running(pid) {
		t.Error("a process that nobody has waited for counts as running")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process was not killed")
	}
	if _, err := ReadStat(pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no process: got %v", err)
	}
}

func FuzzParseStat(f *testing.F) {
	if own, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(own)
	}
	f.Add([]byte("1 (a) S"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseStat(text); err == nil && s.State == 0 {
			t.Errorf("%q has no state", text)
		}
	})
}
