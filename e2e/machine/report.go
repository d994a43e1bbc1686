//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// dumpTimeout is how long an agent may take to write down what all its goroutines do.
const dumpTimeout = 10 * time.Second

// tail is how much of the end of a log is shown where something failed.
const tail = 32 << 10

// Test is what a report needs of a test.
type Test interface {
	Helper()
	Name() string
	Failed() bool
	Logf(format string, args ...any)
}

// Ended is the error of an agent that has ended without being asked to by Stop or Kill: how
// it ended, and what it wrote last.
func (n *Node) Ended() error {
	if n.cmd == nil || n.Running() || n.asked {
		return nil
	}
	return fmt.Errorf("the agent ended by itself: %s%s", n.cmd.ProcessState, n.LogTail(tail))
}

// Report tells the log of a test that failed what PostMortem says. Call it before Close.
func (n *Node) Report(t Test) {
	t.Helper()
	if t.Failed() {
		t.Logf("%s", n.PostMortem(t.Name()))
	}
}

// PostMortem says how the agent ended, and what it wrote last. An agent that still runs is
// ended in the way that has it write down what its goroutines do. Its whole log is kept, for
// the test of that name, in NOMADISH_E2E_LOGS or, by default, nomadish-e2e-logs in the
// directory for temporary files.
func (n *Node) PostMortem(test string) string {
	if n.cmd == nil {
		return "the agent was never started"
	}
	running := n.Running()
	var errs []error
	if running {
		errs = append(errs, n.dump())
	}
	kept, err := n.KeepLog(test)
	text := fmt.Sprintf("the agent ended: %s", n.cmd.ProcessState)
	if running {
		text = "the agent was running"
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		text += fmt.Sprintf(" (%v)", err)
	}
	return fmt.Sprintf("%s; its log is kept in %s and ends with:%s", text, kept, n.LogTail(tail))
}

// dump ends the agent in the way that has it write down what its goroutines do.
func (n *Node) dump() error {
	n.asked = true
	if err := n.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-n.ended:
		return nil
	case <-time.After(dumpTimeout):
		return errors.Join(fmt.Errorf("the agent did not end within %s of SIGQUIT", dumpTimeout), n.Kill())
	}
}

// unfit is what does not belong in the name of a file.
var unfit = regexp.MustCompile(`[^\w.-]+`)

// KeepLog puts the agent's log where the end of the test of that name does not remove it.
func (n *Node) KeepLog(test string) (path string, err error) {
	dir := os.Getenv("NOMADISH_E2E_LOGS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "nomadish-e2e-logs")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("%s-%s.log", unfit.ReplaceAllString(test, "-"), n.group))
	from, err := os.Open(n.Log())
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return path, errors.Join(err, to.Close())
}
