package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nomadish/nomadish/nomadish/snapshot"
)

// A saved state is in its file whole, or the file is what it was before and nothing else is left.
func TestStoreSnapshot(t *testing.T) {
	var whole bytes.Buffer
	w, err := snapshot.NewWriter(&whole, snapshot.Meta{Index: 7})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "state.snap")
	if meta, err := storeSnapshot(name, bytes.NewReader(whole.Bytes())); err != nil || meta.Index != 7 {
		t.Fatalf("index %d, %v", meta.Index, err)
	}
	if _, err := storeSnapshot(name, bytes.NewReader(whole.Bytes()[:whole.Len()-1])); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("cut off: %v, want ErrDamaged", err)
	}
	if _, _, err := verifyFile(name); err != nil {
		t.Errorf("what was there before: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files, %v, want the one", len(entries), err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s, %v: others must not read it", info.Mode(), err)
	}
}
