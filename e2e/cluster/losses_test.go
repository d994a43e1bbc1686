//go:build linux && faults

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The leader may be lost with the work, where both are on one machine.
func TestLeaderAndWorkOnOneMachineWithoutPower(t *testing.T) {
	lab := newLab(t, Config{Server: true, Client: true}, Config{Server: true, Client: true}, Config{Server: true, Client: true})
	settle(t)
	took := &figures{name: "power cut of leader and work to all work running elsewhere", worst: 8 * time.Second}
	for round := range full(1, 5) {
		work := start(t, lab, fmt.Sprintf("with-leader-%d", round), 3)
		lost, err := lab.Leader(testContext(t))
		must(t, err)
		begin := time.Now()
		must(t, lost.CutPower())
		must(t, work.Runs(testContext(t), lost))
		took.add(time.Since(begin))
		must(t, lost.PowerOn())
		must(t, lab.Ready(testContext(t)))
		must(t, work.Stop(testContext(t)))
		settle(t)
	}
	took.report(t)
}

// A server that can't make anything durable ends at once, with a line that says why, and a code that is not
// zero. The others go on, and when its disk works again it has everything.
func TestFailingDisk(t *testing.T) {
	lab := newLab(t, cluster(0)...)
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			running, end := load(t, lab, "failing-"+who)
			broken, err := lab.Leader(testContext(t))
			must(t, err)
			if who == "follower" {
				broken = lab.Others(broken)[0]
			}
			must(t, acked(testContext(t), running, 50))
			must(t, broken.FailSync(testContext(t)))
			must(t, broken.Ends(testContext(t)))
			lines := strings.Split(strings.TrimSpace(broken.LogTail(1<<10)), "\n")
			last, code := lines[len(lines)-1], broken.ExitCode()
			t.Logf("exit code %d after: %s", code, last)
			if code <= 0 || !strings.Contains(last, "input/output error") {
				t.Errorf("it ended with code %d, and its last line is %q", code, last)
			}
			must(t, acked(testContext(t), running, 100))
			must(t, broken.Start())
			must(t, lab.Ready(testContext(t)))
			checkLoad(t, lab, "failing-"+who, end(), 150)
		})
	}
}
