package alloc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Of an allocation that was destroyed no directory is left and no memory, also where a task has
// moved what was mounted for it.
func TestDestroyFreesMovedMounts(t *testing.T) {
	r := networkRunner(t, &fakeNetworks{}, "host", nil)
	r.cfg.Root = filepath.Join(t.TempDir(), "a1")
	web := filepath.Join(r.cfg.Root, "web")
	if err := os.MkdirAll(filepath.Join(web, "secrets"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", filepath.Join(web, "secrets"), "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("may not mount: %v", err)
	}
	if err := os.Rename(web, web+"2"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(r.cfg.Root); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("its directory is left: %v", err)
		}
	}
	if t.Failed() {
		_ = unix.Unmount(web+"2/secrets", unix.MNT_DETACH)
	}
}
