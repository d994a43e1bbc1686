package cli

import (
	"os"
	"os/exec"
	"syscall"
)

// passedSignals are those that a command under a lock outlives: there is no way to pass them on.
var passedSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

// terminate asks a command to end; here it is ended.
var terminate = os.Kill

func ownGroup(*exec.Cmd) {}

// pass ends a command that was started. Other signals reach it by the console.
func pass(cmd *exec.Cmd, s os.Signal, _ bool) {
	if s == os.Kill || s == syscall.SIGTERM {
		_ = cmd.Process.Kill() // it has ended if this fails
	}
}

func signalExit(*os.ProcessState) int { return ExitFailed }
