//go:build !linux

package logs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// watcher says "all" from time to time: tasks run on Linux, elsewhere only embedders' own
// drivers do.
type watcher struct{ poll time.Duration }

func newWatcher(_ string, poll time.Duration) (*watcher, error) {
	return &watcher{poll: poll}, errors.New("the system has no inotify")
}

func (w *watcher) next(ctx context.Context, _ bool) (names []string, all bool) {
	_ = lifecycle.Sleep(ctx, w.poll)
	return nil, true
}

func (w *watcher) pending() ([]string, bool) { return nil, false }
func (w *watcher) close()                    {}

func punchHole(*os.File, int64, int64) error     { return nil }
func nextData(_ *os.File, offset, _ int64) int64 { return offset }
func links(fs.FileInfo) uint64                   { return 1 }
