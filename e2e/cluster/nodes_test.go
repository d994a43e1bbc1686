//go:build linux

package cluster

import (
	"testing"
	"time"
)

// A cluster of three servers, and client nodes beside them.
func cluster(clients int) []Config {
	all := []Config{{Server: true}, {Server: true}, {Server: true}}
	for range clients {
		all = append(all, Config{Client: true})
	}
	return all
}

// clients are a lab's machines that are client nodes alone.
func clients(l *Lab) (all []*Machine) {
	for _, m := range l.machines {
		if m.cfg.Client && !m.cfg.Server {
			all = append(all, m)
		}
	}
	return all
}

// moves has a machine lose its power and get it back, and says how long it took until all work ran elsewhere.
func moves(t *testing.T, lab *Lab, work *Work, lost *Machine) time.Duration {
	t.Helper()
	begin := time.Now()
	must(t, lost.CutPower())
	must(t, work.Runs(testContext(t), lost))
	took := time.Since(begin)
	must(t, lost.PowerOn())
	must(t, lab.Ready(testContext(t)))
	return took
}

// What ran on a machine that has lost its power runs elsewhere.
func TestWorkOfAMachineWithoutPowerMoves(t *testing.T) {
	lab := newLab(t, cluster(full(2, 5))...)
	work := start(t, lab, "moves", 6)
	settle(t)
	took := &figures{name: "power cut to all work running elsewhere", worst: 5 * time.Second}
	for range full(1, 5) {
		lost, err := work.Busiest(clients(lab))
		must(t, err)
		took.add(moves(t, lab, work, lost))
		must(t, work.Runs(testContext(t)))
		settle(t)
	}
	took.report(t)
}

// The tasks of an agent that is dead run on, and nobody runs them a second time: its machine is there.
func TestTasksOfADeadAgentStay(t *testing.T) {
	lab := newLab(t, cluster(2)...)
	work := start(t, lab, "agentless", 4)
	before, err := work.Processes()
	must(t, err)
	dead, err := work.Busiest(clients(lab))
	must(t, err)
	must(t, dead.Kill())
	must(t, work.stays(testContext(t), before, full(4*time.Second, time.Minute)))
	must(t, dead.Start())
	must(t, lab.Ready(testContext(t)))
	must(t, work.Runs(testContext(t)))
	must(t, work.Same(testContext(t), before))
}

// Where many nodes fall silent at once it is the network: nothing is replaced or started again.
func TestNothingMovesWhenAThirdOfTheNodesIsCutOff(t *testing.T) {
	lab := newLab(t, cluster(full(3, 9))...)
	work := start(t, lab, "silent", full(3, 9))
	before, err := work.Processes()
	must(t, err)
	cut := clients(lab)[:full(1, 3)]
	for _, m := range cut {
		must(t, m.Unplug())
	}
	must(t, work.stays(testContext(t), before, full(2*time.Second, 8*time.Second)))
	must(t, lab.Heal())
	must(t, lab.Ready(testContext(t)))
	must(t, work.stays(testContext(t), before, full(2*time.Second, 20*time.Second)))
}

// Tasks do not notice that all servers are down.
func TestTasksOutliveServers(t *testing.T) {
	lab := newLab(t, cluster(2)...)
	work := start(t, lab, "serverless", 4)
	before, err := work.Processes()
	must(t, err)
	for _, m := range lab.Servers() {
		must(t, m.Kill())
	}
	end := time.Now().Add(full(3*time.Second, time.Minute))
	for ; time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		now, err := work.Processes()
		must(t, err)
		must(t, same(before, now))
	}
	for _, m := range lab.Servers() {
		must(t, m.Start())
	}
	must(t, lab.Ready(testContext(t)))
	must(t, work.Runs(testContext(t)))
	must(t, work.Same(testContext(t), before))
}

// settle gives a cluster the time in which its servers get to know the nodes' machines, where figures are
// wanted: of a machine that nobody has ever heard by itself only the lease says that it is gone.
func settle(t *testing.T) {
	t.Helper()
	time.Sleep(full(0, 15*time.Second))
}

// An agent that is a server and a client node has its tasks back after it was killed: what it makes of them does
// not hang on how much of the log its server has read by then.
func TestKilledAgentsOfServersKeepTheirTasks(t *testing.T) {
	both := Config{Server: true, Client: true}
	lab := newLab(t, both, both, both)
	work := start(t, lab, "kept", 6)
	before, err := work.Processes()
	must(t, err)
	for round := range full(3, 30) {
		m := lab.Machines()[round%3]
		must(t, m.Kill())
		must(t, m.Start())
		must(t, lab.Ready(testContext(t)))
		must(t, work.Runs(testContext(t)))
		must(t, work.stays(testContext(t), before, time.Second))
	}
}
