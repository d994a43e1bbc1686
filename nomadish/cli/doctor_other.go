//go:build !linux

package cli

import (
	"context"
	"runtime"
)

// machineFindings checks what a client node needs, which runs on Linux only.
func machineFindings(context.Context, string, bool) []finding {
	return []finding{warning("Client nodes run on Linux; the command line and servers run here as well.", "%s is not checked", runtime.GOOS).of("machine")}
}
