package drivers_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// The first size is taken when it comes soon; nobody waits for long for one that doesn't come.
func TestFirstSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := make(chan nomadish.TerminalSize)
		go func() { sizes <- nomadish.TerminalSize{Width: 80, Height: 24} }()
		req := &drivers.ExecRequest{TTY: true, Resize: sizes}
		if size, ok := drivers.FirstSize(t.Context(), req); !ok || size.Width != 80 || size.Height != 24 {
			t.Errorf("got %+v, %t", size, ok)
		}
		begin := time.Now()
		go func() { sizes <- nomadish.TerminalSize{} }()
		if size, ok := drivers.FirstSize(t.Context(), req); ok || time.Since(begin) > 0 {
			t.Errorf("that there is no size was said at once: got %+v after %s", size, time.Since(begin))
		}
		if size, ok := drivers.FirstSize(t.Context(), req); ok {
			t.Errorf("nobody sent a size, and it is %+v", size)
		}
		close(sizes)
		for name, req := range map[string]*drivers.ExecRequest{
			"no more sizes": {TTY: true, Resize: sizes}, "no terminal": {Resize: sizes}, "no sizes": {TTY: true},
		} {
			if size, ok := drivers.FirstSize(t.Context(), req); ok {
				t.Errorf("%s: %+v", name, size)
			}
		}
	})
}
