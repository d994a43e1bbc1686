package server_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/snapshot"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// saving runs a server that saves its state every hour and keeps three files, for as long as use takes.
func saving(t *testing.T, disk vfs.FS, dir string, use func(*server.Server)) {
	t.Helper()
	s, err := server.New(server.Config{
		ID: "s1", Dir: t.TempDir(), FS: disk, Bootstrap: []string{"s1"},
		Snapshots: server.SnapshotSchedule{Interval: time.Hour, Retain: 3, Dir: dir},
	}, alone{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	use(s)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func savedOf(t *testing.T, s *server.Server) *nomadish.SavedSnapshots {
	t.Helper()
	saved, err := s.SavedSnapshots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

// The state is saved at once and then every hour, whatever restarts lie between; the newest files are kept,
// whole and for nobody else to read; a failure is told, and tried again.
func TestScheduledSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, dir := vfs.NewMem(), filepath.Join(t.TempDir(), "saved")
		saving(t, disk, dir, func(s *server.Server) {
			time.Sleep(time.Minute)
			if n := len(savedOf(t, s).Snapshots); n != 1 {
				t.Errorf("%d files after a minute, want 1", n)
			}
			time.Sleep(4 * time.Hour)
		})
		time.Sleep(30 * time.Minute)
		saving(t, disk, dir, func(s *server.Server) {
			time.Sleep(10 * time.Minute)
			saved := savedOf(t, s)
			if len(saved.Snapshots) != 3 || saved.LastError != "" {
				t.Fatalf("%+v, want 3 files", saved)
			}
			if age := time.Since(saved.Snapshots[0].Created); age < 40*time.Minute || age > 42*time.Minute {
				t.Errorf("the newest is %s old: a restart is no reason for another", age)
			}
			for _, f := range saved.Snapshots {
				checkSaved(t, filepath.Join(dir, f.Name), f.Index)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
				t.Errorf("%d files are left, %v", len(entries), err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(dir, "nowhere"), dir); err != nil { // no directory can be made there
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			if saved := savedOf(t, s); saved.Failures == 0 || saved.LastError == "" {
				t.Errorf("%+v, want it to tell of failures", saved)
			}
			time.Sleep(2 * time.Minute)
			if saved := savedOf(t, s); len(saved.Snapshots) != 1 || saved.Failures != 0 {
				t.Errorf("%+v, want a file again", saved)
			}
		})
	})
}

func checkSaved(t *testing.T, name string, index uint64) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: mode %s, %v", name, info.Mode(), err)
	}
	if meta, _, err := snapshot.Verify(f); err != nil || meta.Index != index {
		t.Errorf("%s: index %d, %v; want %d", name, meta.Index, err, index)
	}
}
