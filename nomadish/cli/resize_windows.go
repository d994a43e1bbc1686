package cli

import (
	"context"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/nomadish/nomadish/nomadish"
)

// watchSize tells a terminal's size now and whenever it changes, until ctx ends. There is no
// signal that says so.
func watchSize(ctx context.Context, f *os.File, sizes chan nomadish.TerminalSize) {
	width, height := 0, 0
	for {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && (w != width || h != height) {
			width, height = w, h
			sendSize(f, sizes)
		}
		if pause(ctx, 250*time.Millisecond) != nil {
			return
		}
	}
}
