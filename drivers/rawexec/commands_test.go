//go:build linux

package rawexec

import "testing"

// A command is known to be killed with its task, and no other one is.
func TestCommandsKilledWithTheirTask(t *testing.T) {
	var cs commands
	cs.kill("a")
	first, second, other := cs.begin("a"), cs.begin("a"), cs.begin("b")
	cs.end(second)
	cs.kill("a")
	later := cs.begin("a")
	if !cs.killed(first) || cs.killed(other) || cs.killed(later) {
		t.Errorf("killed: the first %t, of another task %t, a later one %t; want only the first",
			cs.killed(first), cs.killed(other), cs.killed(later))
	}
	for _, c := range []*command{first, other, later} {
		cs.end(c)
	}
	if len(cs.running) > 0 {
		t.Errorf("%d commands are left", len(cs.running))
	}
}
