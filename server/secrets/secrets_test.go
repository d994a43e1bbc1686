package secrets_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/nomadish/nomadish/server/secrets"
)

// A keyring makes one key, keeps it over restarts, and lets nobody else read it.
func TestActiveKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keyring")
	first, err := secrets.New(dir).Active(1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := secrets.New(dir).Active(2)
	if err != nil || second.ID != first.ID || !bytes.Equal(second.PublicKey, first.PublicKey) {
		t.Errorf("after a restart the key is %+v, %v; want %+v", second, err, first)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files: %v, %v; want one", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v; want mode 0600", files[0], info.Mode(), err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := secrets.New(dir).Active(3); err == nil {
		t.Errorf("a damaged keyring gives %+v, want an error", key)
	}
}
