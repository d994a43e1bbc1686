package cli

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/recovery"
)

// The recovery key that init prints is nowhere on the disk, and lets the cluster go on when the wrapping key is lost.
func TestUnlock(t *testing.T) {
	m := newSetupMachine(t)
	var cluster, again founded
	stop := m.up(&cluster, "init", "-server-only", "-name", "first")
	if _, err := recovery.Parse(nomadish.SecretText(cluster.RecoveryKey)); err != nil {
		t.Fatalf("init prints the recovery key %q: %v", cluster.RecoveryKey, err)
	}
	good(t, runs(t, "", m.env, "var", "put", "a/b", "password=hunter2"))
	stop()
	for _, dir := range []string{m.dir, strings.TrimPrefix(m.env[0], "HOME=")} {
		showsNot(t, dir, cluster.RecoveryKey)
	}
	if err := os.Remove(filepath.Join(m.dir, "data/server/keyring/wrap.key")); err != nil {
		t.Fatal(err)
	}
	unlock := []string{"operator", "root", "unlock", "-wait", "0s", "-data-dir", m.dir + "/data"}
	if r := runs(t, "AAAAA", nil, append(unlock, "-recovery-key", "-")...); r.code != ExitFailed || !strings.Contains(r.stderr, "eight groups") {
		t.Errorf("a wrong key: %d %s", r.code, r.stderr)
	}
	if r := runs(t, "", nil, unlock...); r.code != ExitFailed || !strings.Contains(r.stderr, "terminal") {
		t.Errorf("no key, and nobody to ask: %d %s", r.code, r.stderr)
	}
	good(t, runs(t, cluster.RecoveryKey, nil, append(unlock, "-recovery-key", "-")...))
	m.up(&again, "init", "-server-only", "-name", "first")
	if got := good(t, runs(t, "", m.env, "var", "get", "-item", "password", "a/b")).stdout; strings.TrimSpace(got) != "hunter2" {
		t.Errorf("the variable is %q", got)
	}
	if again.RecoveryKey != "" {
		t.Errorf("init makes another recovery key: %s", again.RecoveryKey)
	}
	given := filepath.Join(m.dir, "data/server/keyring/recovery.key")
	eventually(t, "the recovery key is removed", func() bool { _, err := os.Stat(given); return os.IsNotExist(err) })
	if r := runs(t, cluster.RecoveryKey, nil, "operator", "root", "unlock", "-data-dir", m.dir+"/data", "-recovery-key", "-", "-wait", "0s"); r.code != ExitOK {
		t.Errorf("unlocked again: %d %s", r.code, r.stderr)
	}
}

// showsNot fails the test if a file below dir holds a text.
func showsNot(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), text) || strings.Contains(string(content), strings.ReplaceAll(text, "-", "")) {
			t.Errorf("%s holds it", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A cluster without a recovery key says so; a new one is shown once, and with it another cluster takes the
// snapshots that were saved since.
func TestRecoveryKey(t *testing.T) {
	old, empty := newCluster(t), newCluster(t)
	old.says(t, ExitFailed, "has no recovery key", "operator", "root", "recovery-key")
	var former, now recoveryKeyShown
	for _, shown := range []*recoveryKeyShown{&former, &now} {
		if err := json.Unmarshal([]byte(old.ok(t, "operator", "root", "recovery-key", "-new", "-json")), shown); err != nil {
			t.Fatal(err)
		}
	}
	if shown := old.ok(t, "operator", "root", "recovery-key"); !strings.Contains(shown, now.ID) || strings.Contains(shown, now.Key) || now.Key == former.Key {
		t.Errorf("shown as %s, want %s and not the key", shown, now.ID)
	}
	old.ok(t, "var", "put", "a/b", "password=hunter2")
	file := filepath.Join(t.TempDir(), "state.snap")
	old.ok(t, "operator", "snapshot", "save", file)

	empty.says(t, ExitFailed, nomadish.NeedsRecoveryKey+" "+now.ID, "operator", "snapshot", "restore", file)
	if r := runs(t, former.Key, empty.env, "operator", "snapshot", "restore", "-recovery-key", "-", file); r.code != ExitFailed || !strings.Contains(r.stderr, former.ID) {
		t.Errorf("with the former key: %d %s", r.code, r.stderr)
	}
	good(t, runs(t, now.Key, empty.env, "operator", "snapshot", "restore", "-recovery-key", "-", file))
	eventually(t, "the restored variable", func() bool {
		return strings.TrimSpace(empty.run(t, "var", "get", "-item", "password", "a/b").stdout) == "hunter2"
	})
	if shown := empty.ok(t, "operator", "root", "recovery-key"); !strings.Contains(shown, now.ID) {
		t.Errorf("the recovery key afterwards: %s", shown)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come", what)
		}
	}
}
