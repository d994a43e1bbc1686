package agent

import (
	"context"
	"path/filepath"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
)

// SnapshotsFile is the snapshots block of a server, which is ours: how it saves the state by itself.
type SnapshotsFile struct {
	Interval *string `hcl:"interval,optional"` // between two files; default 1h
	Retain   *int    `hcl:"retain,optional"`   // files that are kept; default 24
	Path     *string `hcl:"path,optional"`     // directory; default server/saved in data_dir
}

// leastInterval is the shortest time between two files: each of them holds everything.
const leastInterval = time.Minute

func (s *SnapshotsFile) config(r *reading) server.SnapshotSchedule {
	c := server.SnapshotSchedule{Interval: time.Hour, Retain: nomadish.Val(s.Retain), Dir: nomadish.Val(s.Path)}
	if s.Interval != nil {
		if c.Interval = r.duration("server.snapshots.interval", s.Interval); c.Interval < leastInterval {
			r.fail("server.snapshots.interval: want %s or more, got %q", leastInterval, *s.Interval)
		}
	}
	if s.Retain != nil && *s.Retain < 1 {
		r.fail("server.snapshots.retain: want 1 or more, got %d", *s.Retain)
	}
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		r.fail("server.snapshots.path: %q is not absolute", c.Dir)
	}
	return c
}

// durability adds how well the server's data is kept.
func (f *figures) durability(a *Agent) {
	disk := a.server.Consensus().Disk()
	f.add("nomadish.disk.full", number(disk.Full))
	f.add("nomadish.disk.append_p99_seconds", disk.P99.Seconds())
	f.add("nomadish.disk.slow_seconds", disk.Slow.Seconds())
	f.add("nomadish.state.diverged", number(a.server.Serving() != nil))
	saved, err := a.server.SavedSnapshots(context.Background())
	if err != nil || saved.Dir == "" {
		return
	}
	f.add("nomadish.snapshots.failures", float64(saved.Failures))
	f.add("nomadish.snapshots.kept", float64(len(saved.Snapshots)))
	if len(saved.Snapshots) > 0 {
		f.add("nomadish.snapshots.age_seconds", max(0, a.cfg.Now().Sub(saved.Snapshots[0].Created).Seconds()))
	}
}
