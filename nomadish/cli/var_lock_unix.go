//go:build unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
)

// passedSignals are those that go on to the command that runs under a lock.
var passedSignals = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT,
}

// terminate asks a command to end.
const terminate = syscall.SIGTERM

// ownGroup makes a command the head of a group of processes, so that signals reach what a
// shell starts.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// pass sends a signal to a command that was started.
func pass(cmd *exec.Cmd, s os.Signal, group bool) {
	number, ok := s.(syscall.Signal)
	if !ok {
		return
	}
	pid := cmd.Process.Pid
	switch {
	case group:
		_ = syscall.Kill(-pid, number) // it has ended if this fails
	case number == syscall.SIGINT || number == syscall.SIGQUIT: // the terminal has told it
	default:
		_ = cmd.Process.Signal(s) // likewise
	}
}

// signalExit is the exit code of shells for a command that a signal has ended.
func signalExit(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return ExitFailed
}
