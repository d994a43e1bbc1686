//go:build linux && faults

package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// wrongClock becomes a part of Go's package time: it reads again and again by how many seconds the wall clock of
// the machine is wrong. What passes meanwhile is measured as always.
const wrongClock = `package time

import (
	"sync/atomic"
	"syscall"
)

var labSeconds atomic.Int64

func init() {
	if name, ok := syscall.Getenv("` + clockVariable + `"); ok {
		go func() {
			for ; ; Sleep(10 * Millisecond) {
				labSeconds.Store(labRead(name))
			}
		}()
	}
}

func labRead(name string) (seconds int64) {
	text, _ := readFile(name)
	for _, digit := range text {
		if '0' <= digit && digit <= '9' {
			seconds = 10*seconds + int64(digit-'0')
		}
	}
	if len(text) > 0 && text[0] == '-' {
		return -seconds
	}
	return seconds
}
`

// withWrongClock returns the program under test, built so that each machine's clock can be set: NOMADISH_CLOCK, or one
// that is built. No clock of a namespace is the wall clock, and a static program asks the kernel for it without a
// system call that could be changed.
func withWrongClock(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("NOMADISH_CLOCK"); path != "" {
		return path
	}
	root, err := machine.Root()
	must(t, err)
	dir := t.TempDir()
	source := filepath.Join(runtime.GOROOT(), "src", "time") //nolint:staticcheck // the one that builds the test builds the program
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	must(t, err)
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), now) != 1 {
		t.Fatalf("%s has no %q", source, now)
	}
	must(t, os.WriteFile(filepath.Join(dir, "time.go"), []byte(strings.Replace(string(text), now, now+"\tsec += labSeconds.Load()\n", 1)), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "lab.go"), []byte(wrongClock), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(source, "time.go"): filepath.Join(dir, "time.go"), filepath.Join(source, "lab.go"): filepath.Join(dir, "lab.go"),
	}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	path := filepath.Join(dir, "nomadish")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", "netgo,osusergo", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, "./nomadish/cmd/nomadish")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build with a clock that can be set: %v\n%s", err, out)
	}
	return path
}

// However wrong the clock of one server is, and also where it jumps: no node is taken for dead and no lock for
// abandoned, no write is lost, and the log's time never goes back.
func TestWrongClocks(t *testing.T) {
	program := withWrongClock(t)
	server, client := Config{Server: true, Binary: program}, Config{Client: true, Binary: program}
	lab := newLab(t, server, server, server, client, client)
	work := start(t, lab, "timeless", 4)
	before, err := work.Processes()
	must(t, err)
	steady := func(by time.Duration) func(*Machine) error {
		return func(m *Machine) error { return m.SetClock(by) }
	}
	for _, tt := range []struct {
		name string
		who  string
		set  func(*Machine) error
	}{
		{"leader ahead", "leader", steady(2 * time.Hour)},
		{"leader behind", "leader", steady(-2 * time.Hour)},
		{"leader jumps", "leader", jump},
		{"follower ahead", "follower", steady(2 * time.Hour)},
		{"follower behind", "follower", steady(-2 * time.Hour)},
		{"node ahead", "node", steady(2 * time.Hour)},
		{"node behind", "node", steady(-2 * time.Hour)},
		{"node jumps", "node", jump},
		{"leader in another decade", "leader", steady(10 * 365 * 24 * time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := strings.ReplaceAll(tt.name, " ", "-")
			running, end := load(t, lab, name)
			must(t, acked(testContext(t), running, 50))
			m := lab.Machines()[3]
			if tt.who != "node" {
				m, err = lab.Leader(testContext(t))
				must(t, err)
			}
			if tt.who == "follower" {
				m = lab.Others(m)[0]
			}
			release := acquire(t, lab, "lock/"+name)
			must(t, tt.set(m))
			must(t, acked(testContext(t), running, 200))
			must(t, work.stays(testContext(t), before, 5*time.Second))
			must(t, m.SetClock(0))
			must(t, acked(testContext(t), running, 100))
			must(t, work.stays(testContext(t), before, 2*time.Second))
			release()
			h := end()
			checkLoad(t, lab, name, h, 350)
			newest, err := timesGoUp(testContext(t), lab, name)
			must(t, err)
			if ahead := time.Until(newest); tt.name == "leader ahead" && ahead < time.Hour {
				t.Errorf("the clock was not wrong at all: the newest time is in %s", ahead)
			}
			must(t, lab.Ready(testContext(t)))
		})
	}
}

// jump sets a machine's clock wrong, one way and the other, again and again.
func jump(m *Machine) error {
	for by := time.Minute; by < 10000*time.Hour; by *= -4 {
		if err := m.SetClock(by); err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond) // what is tested is that it jumps
	}
	return nil
}

// acquire gets a lock, and returns what releases it if it is still held.
func acquire(t *testing.T, lab *Lab, path string) (release func()) {
	t.Helper()
	users, err := lab.Users(0)
	must(t, err)
	want := &nomadish.Variable{}
	want.Path, want.Lock = path, &nomadish.VariableLock{TTL: "60s", LockDelay: "10s"}
	held, err := users.Variables().Acquire(testContext(t), want)
	must(t, err)
	return func() {
		t.Helper()
		defer users.Close()
		held.Lock = &nomadish.VariableLock{ID: held.Lock.ID}
		held.Items = nil
		if err := users.Variables().Release(testContext(t), held); err != nil {
			t.Errorf("the lock that was held: %v", err)
		}
	}
}

// timesGoUp checks that what was written later is of a later time, or the same, and returns the newest time.
func timesGoUp(ctx context.Context, lab *Lab, name string) (newest time.Time, err error) {
	list, _, err := lab.Servers()[0].API.Variables().List(ctx, &api.Query{Prefix: name + "/", PerPage: page})
	if err != nil {
		return newest, err
	}
	slices.SortFunc(list, func(a, b *nomadish.VariableMetadata) int { return cmp.Compare(a.ModifyIndex, b.ModifyIndex) })
	var errs []error
	for _, v := range list {
		at := time.Unix(0, v.ModifyTime)
		if at.Before(newest) {
			errs = append(errs, fmt.Errorf("index %d is %s earlier than one before", v.ModifyIndex, newest.Sub(at)))
		}
		newest = at
	}
	return newest, errors.Join(errs...)
}
