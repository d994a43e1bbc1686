package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/recovery"
	"github.com/nomadish/nomadish/nomadish/snapshot"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/servertest"
	"github.com/nomadish/nomadish/server/state"
)

// lead waits for a leader that can use its keyring.
func lead(t testing.TB, c *cluster) *server.Server {
	t.Helper()
	s := c.awaitLeader(t, nil).now.Load()
	servertest.Eventually(t, "the keyring", func() error { return s.Keyring().Ready(t.Context()) })
	return s
}

// file saves a server's state.
func file(t testing.TB, s *server.Server) []byte {
	t.Helper()
	write, _, err := s.SaveSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var first, again bytes.Buffer
	if err := errors.Join(write(&first), write(&again)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("the same state gives other bytes the second time")
	}
	return first.Bytes()
}

func registered(t testing.TB, s *server.Server, id string) {
	t.Helper()
	if _, _, err := s.Endpoint().RegisterJob(manager(t), &nomadish.JobRegisterRequest{Job: newJob(id, 0)}); err != nil {
		t.Fatal(err)
	}
}

// A state that is restored into an empty cluster of other servers is there with its jobs and its secrets:
// the wrapping key is all that is needed besides. Who waits for a change learns of it.
func TestRestoreIntoAnEmptyCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := start(t, 1)
		first := lead(t, old)
		registered(t, first, "web")
		sealed, err := first.Keyring().Seal([]byte("hunter2"), nil)
		if err != nil {
			t.Fatal(err)
		}
		saved := file(t, first)

		c := start(t, 2)
		c.wrapper = old.wrapper
		for _, m := range c.members {
			c.kill(t, m)
			m.id, m.disk = "new-"+m.id, vfs.NewMem()
		}
		for _, m := range c.members {
			c.boot(t, m)
		}
		s := lead(t, c)
		registered(t, s, "stray")
		before := s.Store().Reader()
		_, stray, err := s.Endpoint().Job(manager(t), nil, "default", "stray")
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			waiting <- s.Store().Await(t.Context(), stray, func(r state.Reader, ws memdb.WatchSet) (uint64, error) {
				c := r.SchedulerConfig(ws)
				return max(c.ModifyIndex, r.Restored()), nil
			})
		}()
		index, err := s.RestoreSnapshot(t.Context(), bytes.NewReader(saved), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		r := s.Store().Reader()
		if index <= before.Index() || r.Restored() <= before.Index() {
			t.Errorf("restored at %d, the state was at %d", index, before.Index())
		}
		if r.ClusterID() != first.Store().Reader().ClusterID() {
			t.Error("the restored cluster is not the one that was saved")
		}
		for _, m := range c.members {
			if err := m.now.Load().Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := m.now.Load().Endpoint().Job(manager(t), nil, "default", "web"); err != nil {
				t.Errorf("%s: %v", m.id, err)
			}
			if _, _, err := m.now.Load().Endpoint().Job(manager(t), nil, "default", "stray"); nomadish.KindOf(err) != nomadish.KindNotFound {
				t.Errorf("%s: job stray: %v, want it to be gone", m.id, err)
			}
		}
		if plain, err := lead(t, c).Keyring().Open(sealed, nil); err != nil || string(plain) != "hunter2" {
			t.Errorf("what the old cluster sealed: %q, %v", plain, err)
		}
		registered(t, lead(t, c), "after")
	})
}

// A cluster without the wrapping key refuses a snapshot: it says which key is missing, and how to give it.
func TestRestoreNeedsTheWrappingKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		saved := file(t, lead(t, start(t, 1)))
		s := lead(t, start(t, 2))
		before := s.Store().Reader()
		_, err := s.RestoreSnapshot(t.Context(), bytes.NewReader(saved), "")
		var locked *secrets.LockedError
		if !errors.As(err, &locked) || nomadish.KindOf(err) != nomadish.KindConflict {
			t.Fatalf("%v, want a LockedError that is a conflict", err)
		}
		for _, want := range []string{locked.Needs[0], filepath.Join("keyring", "wrap.key")} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not name %q", err, want)
			}
		}
		if r := s.Store().Reader(); r.ClusterID() != before.ClusterID() || r.Restored() != 0 {
			t.Error("something has changed")
		}
	})
}

// None of 1,000 damaged files is restored, and none of them changes anything.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lead(t, start(t, 1))
		for i := range 20 {
			registered(t, s, fmt.Sprint("web-", i))
		}
		time.Sleep(5 * time.Second) // until all of that is done
		whole := file(t, s)
		before := s.Store().Reader()
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 1000 {
			b := bytes.Clone(whole)
			at := rng.IntN(len(b))
			if i < 200 {
				at = i // the header and the description
			}
			what := "flipped bit"
			switch i % 4 {
			case 0, 1:
				b[at] ^= 1 << rng.IntN(8)
			case 2:
				what, b = "cut off", b[:at]
			case 3:
				what, b = "hole", append(b[:at:at], b[min(len(b), at+1+rng.IntN(600)):]...)
			}
			if _, err := s.RestoreSnapshot(t.Context(), bytes.NewReader(b), ""); nomadish.KindOf(err) != nomadish.KindInvalid || err == nil {
				t.Errorf("%s at %d: %v, want KindInvalid", what, at, err)
			}
		}
		if r := s.Store().Reader(); r.Restored() != 0 || r.Index() != before.Index() || r.Hash() != before.Hash() {
			t.Errorf("something has changed: index %d, was %d", r.Index(), before.Index())
		}
	})
}

// A file whose checksums are right is refused as well when it is of another region, of a level that
// this program does not speak, or describes another state than it holds.
func TestSnapshotsThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lead(t, start(t, 1))
		for name, change := range map[string]func(*snapshot.Meta){
			"region": func(m *snapshot.Meta) { m.Region = "elsewhere" },
			"level":  func(m *snapshot.Meta) { m.Level = 999 },
			"hash":   func(m *snapshot.Meta) { m.StateHash = strings.Repeat("0", 32) },
			"index":  func(m *snapshot.Meta) { m.Index++ },
		} {
			if _, err := s.RestoreSnapshot(t.Context(), bytes.NewReader(forge(t, file(t, s), change)), ""); err == nil || nomadish.KindOf(err) != nomadish.KindInvalid {
				t.Errorf("other %s: %v, want KindInvalid", name, err)
			}
		}
		if _, err := s.RestoreSnapshot(t.Context(), bytes.NewReader(forge(t, file(t, s), func(*snapshot.Meta) {})), ""); err != nil {
			t.Errorf("one that fits: %v", err)
		}
	})
}

// forge writes a snapshot anew with another description.
func forge(t testing.TB, b []byte, change func(*snapshot.Meta)) []byte {
	t.Helper()
	r, err := snapshot.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var content, out bytes.Buffer
	if _, err := content.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	meta := r.Meta
	change(&meta)
	w, err := snapshot.NewWriter(&out, meta)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := content.WriteTo(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(r.Summary.Tables); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A cluster without the wrapping key takes a snapshot with the recovery key: secrets open on all its servers,
// root keys are wrapped with its own key, and the recovery key stays good. Another recovery key is refused.
func TestRestoreWithTheRecoveryKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := lead(t, start(t, 1))
		key, err := recovery.New()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := first.Keyring().SetRecovery(t.Context(), &nomadish.RecoveryKeyRequest{Public: key.Public()}); err != nil {
			t.Fatal(err)
		}
		sealed, err := first.Keyring().Seal([]byte("hunter2"), nil)
		if err != nil {
			t.Fatal(err)
		}
		saved := file(t, first)

		c := start(t, 2)
		s := lead(t, c)
		before := s.Store().Reader()
		_, err = s.RestoreSnapshot(t.Context(), bytes.NewReader(saved), "")
		if err == nil || nomadish.KindOf(err) != nomadish.KindConflict || !strings.Contains(err.Error(), nomadish.NeedsRecoveryKey+" "+key.ID()) {
			t.Errorf("%v, want an error that asks for the recovery key %s", err, key.ID())
		}
		other, err := recovery.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []nomadish.SecretText{other.Text(), "wrong"} {
			if _, err := s.RestoreSnapshot(t.Context(), bytes.NewReader(saved), wrong); err == nil {
				t.Errorf("restored with %s", wrong.Reveal())
			}
		}
		if s.Store().Reader().Restored() != before.Restored() {
			t.Fatal("what was refused has changed the state")
		}
		if _, err := s.RestoreSnapshot(t.Context(), bytes.NewReader(saved), key.Text()); err != nil {
			t.Fatal(err)
		}
		s = lead(t, c)
		for row := range s.Store().Reader().RootKeys(nil) {
			if len(row.Wrapped) != 2 || row.Wrapped[0].Wrapper != c.wrapper.Name() || row.Wrapped[1].Wrapper != nomadish.RecoveryPrefix+key.ID() {
				t.Errorf("a root key is wrapped with %v", row.Wrapped)
			}
		}
		for _, m := range c.members {
			servertest.Eventually(t, m.id+" opens what the old cluster sealed", func() error {
				_, err := m.now.Load().Keyring().Open(sealed, nil)
				return err
			})
		}
	})
}
