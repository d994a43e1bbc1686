package drivers

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// sizePatience is how long a command with a terminal waits for the terminal's size. Callers send
// it at once, or say at once that there is none; those of others may send nothing.
const sizePatience = 2 * time.Second

// FirstSize returns the size that a command's terminal has from its beginning, so that what the
// command asks first it is answered rightly. It is false where the caller tells none.
func FirstSize(ctx context.Context, req *ExecRequest) (nomadish.TerminalSize, bool) {
	if !req.TTY || req.Resize == nil {
		return nomadish.TerminalSize{}, false
	}
	timer := time.NewTimer(sizePatience)
	defer timer.Stop()
	select {
	case size, ok := <-req.Resize:
		return size, ok && size != nomadish.TerminalSize{}
	case <-timer.C:
	case <-ctx.Done():
	}
	return nomadish.TerminalSize{}, false
}
