//go:build linux

package container

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
)

// heldOpen are streams that end only when they are cancelled: what a command left running
// holds them.
type heldOpen struct {
	cio.IO
	cancelled chan struct{}
}

func (h heldOpen) Wait()   { <-h.cancelled }
func (h heldOpen) Cancel() { close(h.cancelled) }

// Output that something left running holds open is over once nothing came for a while, and
// not while pieces come or the caller has not taken them all.
func TestOutputThatIsHeldOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe() // a caller that takes a piece when the test says so
		out := &relay{}
		to := out.to(w)
		go func() {
			for range 5 {
				time.Sleep(2 * quietTick)
				_, _ = to.Write([]byte("x"))
			}
		}()
		go func() {
			b := make([]byte, 1)
			for range 4 {
				_, _ = io.ReadFull(r, b)
			}
			time.Sleep(time.Minute)
			_, _ = io.ReadFull(r, b)
		}()
		began := time.Now()
		if err := out.rest(t.Context(), heldOpen{cancelled: make(chan struct{})}); err != nil {
			t.Fatal(err)
		}
		want := 4*2*quietTick + time.Minute // from the fourth piece on the caller is slow
		if took := time.Since(began); took < want || took > want+(quietTicks+1)*quietTick {
			t.Errorf("over after %s, want soon after %s", took, want)
		}
		if got := out.passed.Load(); got != 5 {
			t.Errorf("%d pieces are with the caller, want 5", got)
		}
	})
}
