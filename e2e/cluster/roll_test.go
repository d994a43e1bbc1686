//go:build linux && faults

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// Servers are restarted one after the other under load, and nobody who uses the cluster by a client that
// knows all of them notices.
func TestRollingRestart(t *testing.T) {
	lab := newLab(t, cluster(2)...)
	work := start(t, lab, "rolled", 4)
	before, err := work.Processes()
	must(t, err)
	running, end := load(t, lab, "rolling")
	for range 3 {
		roll(t, lab, lab.Servers(), running, func(*Machine) {})
	}
	h := end()
	checkLoad(t, lab, "rolling", h, 900)
	must(t, work.Same(testContext(t), before))
	if failed := len(h.Refused) + len(h.Unknown) + h.Unread; failed > 0 {
		t.Errorf("%d calls failed", failed)
	}
}

// roll stops machines one after the other, changes something, and starts them again.
func roll(t *testing.T, lab *Lab, machines []*Machine, running *Load, change func(*Machine)) {
	t.Helper()
	for _, m := range machines {
		must(t, acked(testContext(t), running, 100))
		must(t, m.Stop())
		change(m)
		must(t, m.Start())
		must(t, lab.Ready(testContext(t)))
	}
	must(t, acked(testContext(t), running, 100))
}

// nextRelease returns the program that speaks one level more than the one under test: NOMADISH_NEXT, or one that
// is built.
func nextRelease(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("NOMADISH_NEXT"); path != "" {
		return path
	}
	root, err := machine.Root()
	must(t, err)
	path := filepath.Join(t.TempDir(), "nomadish-next")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", "netgo,osusergo,nextlevel", "-o", path, "./nomadish/cmd/nomadish")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("build the next release: %v\n%s", err, out)
	}
	return path
}

// What the servers of a build of the next level say when they raise the level, and when they use it.
const (
	raisedWords = "the cluster's level is raised"
	usedWords   = "a command of the next level is written"
)

// said returns an error unless a server has said something, which then is there for all.
func said(lab *Lab, words string) error {
	for _, m := range lab.Servers() {
		log, err := os.ReadFile(m.Log())
		if err != nil {
			return err
		}
		if strings.Contains(string(log), words) {
			return nil
		}
	}
	return fmt.Errorf("no server says %q", words)
}

// A cluster goes to the next release and back as long as its level is not raised. It is raised when all servers
// speak the next one, and only then are its commands written; a server of the release before does not take part
// any more, and says why. No write is lost meanwhile, and no task started again.
func TestRollToTheNextLevel(t *testing.T) {
	present, err := machine.Binary()
	must(t, err)
	next := nextRelease(t)
	patient := map[string]any{"raise_level_after": "1h"}
	lab := newLab(t, Config{Server: true, ServerKeys: patient}, Config{Server: true, ServerKeys: patient}, Config{Server: true, ServerKeys: patient}, Config{Client: true}, Config{Client: true})
	work := start(t, lab, "levels", 4)
	before, err := work.Processes()
	must(t, err)
	running, end := load(t, lab, "levels")

	install := func(binary string) func(*Machine) { return func(m *Machine) { m.Install(binary) } }
	roll(t, lab, lab.Machines(), running, install(next))
	roll(t, lab, lab.Machines(), running, install(present))
	if said(lab, raisedWords) == nil || said(lab, usedWords) == nil {
		t.Fatal("the level was raised before its time")
	}
	impatient := func(m *Machine) {
		m.Install(next)
		m.cfg.ServerKeys = nil
	}
	roll(t, lab, lab.Servers()[:2], running, impatient)
	if said(lab, raisedWords) == nil || said(lab, usedWords) == nil {
		t.Fatal("the level was raised with a server that does not speak it")
	}
	roll(t, lab, lab.Servers()[2:], running, impatient)
	must(t, machine.Until(testContext(t), "the next level is in use", func(context.Context) error {
		return errors.Join(said(lab, raisedWords), said(lab, usedWords))
	}))

	late := lab.Servers()[0]
	must(t, late.Stop())
	late.Install(present)
	must(t, late.Start())
	must(t, late.Ends(testContext(t)))
	t.Logf("a server of the release before ended with code %d:%s", late.ExitCode(), late.LogTail(512))
	if text := late.LogTail(lastWords); late.ExitCode() <= 0 || !strings.Contains(text, "level 2") && !strings.Contains(text, "level becomes 2") {
		t.Errorf("it ended with code %d", late.ExitCode())
	}
	late.Install(next)
	must(t, late.Start())
	must(t, lab.Ready(testContext(t)))
	checkLoad(t, lab, "levels", end(), 1000)
	must(t, work.Same(testContext(t), before))
}
