//go:build unix

package cli

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/nomadish"
)

// watchSize tells a terminal's size now and whenever it changes, until ctx ends.
func watchSize(ctx context.Context, f *os.File, sizes chan nomadish.TerminalSize) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	defer signal.Stop(changed)
	for {
		sendSize(f, sizes)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}
