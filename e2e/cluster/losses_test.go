//go:build linux && faults

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
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
		took.add(moves(t, lab, work, lost))
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

// A group that says how long it may be without its node is replaced meanwhile, or not, as it says, and when the
// node is back exactly as much runs as is wanted.
func TestDisconnectedNode(t *testing.T) {
	for _, replace := range []bool{true, false} {
		t.Run(fmt.Sprintf("replace=%t", replace), func(t *testing.T) {
			lab := newLab(t, cluster(3)...)
			work, err := lab.StartWork(testContext(t), "disconnected", 3, func(g *nomadish.TaskGroup) {
				g.Disconnect = &nomadish.DisconnectStrategy{LostAfter: nomadish.Ptr(10 * time.Minute), Replace: nomadish.Ptr(replace)}
			})
			must(t, err)
			before, err := work.Processes()
			must(t, err)
			cut, err := work.Busiest(clients(lab))
			must(t, err)
			must(t, cut.Unplug())
			must(t, until(testContext(t), "the node's allocations are unknown", func(ctx context.Context) error {
				allocs, err := work.allocations(ctx)
				if err != nil {
					return err
				}
				for _, a := range allocs {
					if a.NodeName == cut.Name() && a.ClientStatus != nomadish.AllocClientUnknown {
						return errors.New(states(allocs))
					}
				}
				return nil
			}))
			if replace {
				must(t, work.Runs(testContext(t), cut))
			} else {
				must(t, work.stays(testContext(t), before, full(time.Second, 10*time.Second)))
			}
			must(t, cut.Plug())
			must(t, lab.Ready(testContext(t)))
			must(t, until(testContext(t), "as much runs as is wanted", func(ctx context.Context) error {
				now, err := work.Processes()
				if err != nil || len(now) == len(before) {
					return err
				}
				allocs, err := work.allocations(ctx)
				return errors.Join(err, fmt.Errorf("processes %v of %s", now, states(allocs)))
			}))
			must(t, work.Runs(testContext(t)))
		})
	}
}
