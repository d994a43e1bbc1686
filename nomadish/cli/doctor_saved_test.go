package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/server"
)

// A state that can't be saved is a failure with its reason, one that was not saved in time a warning.
func TestSavedFinding(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	hour := nomadish.TextDuration(time.Hour)
	aged := func(age time.Duration) []*nomadish.SavedSnapshot {
		return []*nomadish.SavedSnapshot{{Created: now.Add(-age)}, {}}
	}
	for _, tt := range []struct {
		name   string
		saved  nomadish.SavedSnapshots
		status string
		detail string
	}{
		{"saved", nomadish.SavedSnapshots{Interval: hour, Snapshots: aged(time.Hour)}, findingOK, "2 files"},
		{"none yet", nomadish.SavedSnapshots{Interval: hour}, findingWarning, "none"},
		{"long ago", nomadish.SavedSnapshots{Interval: hour, Snapshots: aged(3 * time.Hour)}, findingWarning, "3h0m0s old"},
		{"failed", nomadish.SavedSnapshots{Interval: hour, Failures: 2, LastError: "disk full", Snapshots: aged(time.Minute)}, findingFailure, "2 failures in a row: disk full"},
	} {
		got := savedFinding(&tt.saved, now)
		if got.Status != tt.status || !strings.Contains(got.Detail, tt.detail) || got.Status != findingOK && got.Next == "" {
			t.Errorf("%s: got %+v, want %s: %s, and what to do", tt.name, got, tt.status, tt.detail)
		}
	}
}

// Doctor finds a server that can't save the state.
func TestDoctorFindsWhatIsNotSaved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no-directory")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Config{
		Name: "n1", DataDir: t.TempDir(), HTTP: []string{"127.0.0.1:0"}, RPC: "127.0.0.1:0",
		Server: &server.Config{Snapshots: server.SnapshotSchedule{Interval: time.Hour, Dir: file}}, Pool: &agent.PoolConfig{Bind: "127.0.0.1:0", Expect: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := &cluster{env: []string{"NOMAD_ADDR=http://" + a.Addr().String()}}
	eventually(t, "the failure is found", func() bool {
		got := c.run(t, "doctor", "-cluster")
		return got.code == ExitFailed && strings.Contains(got.stdout, "failure  snapshots of n1.global: ") && strings.Contains(got.stdout, "no-directory")
	})
}
