package fingerprint

import (
	"context"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// signalNames are the signals that tasks can be sent. Jobs that name one are placed only
// where the attribute os.signals holds it.
var signalNames = []string{
	"SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL",
	"SIGPIPE", "SIGPROF", "SIGQUIT", "SIGSEGV", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU",
	"SIGURG", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGXCPU", "SIGXFSZ",
}

func signals(_ context.Context, _ *Config, n *nomadish.Node) error {
	n.Attributes["os.signals"] = strings.Join(signalNames, ",")
	return nil
}
