package hooks

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mounted returns what is mounted below a directory, as the kernel says it.
func mounted(t *testing.T, dir string) []string {
	t.Helper()
	all, err := mountsBelow(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range all {
		out = append(out, m.kind+" "+m.name)
	}
	return out
}

// elsewhere does something where the mounts of dir are not seen, as a container is: there a
// directory that is mounted on here can be renamed.
func elsewhere(t *testing.T, dir string, do func() error) {
	t.Helper()
	errs := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with its mounts
		errs <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Unmount(filepath.Join(dir, secretsDir), unix.MNT_DETACH); err != nil {
				return err
			}
			return do()
		}()
	}()
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
}

// The memory of a task's secrets is freed with its allocation, wherever a task has moved it to
// and whatever is in its place.
func TestMovedSecretsAreFreed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	for _, tt := range []struct {
		name string
		move func(t *testing.T, v *victim, web string) error
		left string // after Release
	}{
		{"not moved", func(*testing.T, *victim, string) error { return nil }, ""},
		{"its directory is another", func(_ *testing.T, _ *victim, web string) error {
			return os.Rename(web, web+" 2\\\t")
		}, "tmpfs web 2\\\t/secrets"},
		{"its directory is a link out", func(_ *testing.T, v *victim, web string) error {
			if err := os.Rename(web, web+"2"); err != nil {
				return err
			}
			return os.Symlink(v.outside, web)
		}, "tmpfs web2/secrets"},
		{"its directory is a FIFO", func(_ *testing.T, _ *victim, web string) error {
			if err := os.Rename(web, web+"2"); err != nil {
				return err
			}
			return syscall.Mkfifo(web, 0o600)
		}, "tmpfs web2/secrets"},
		{"itself", func(t *testing.T, _ *victim, web string) error {
			elsewhere(t, web, func() error {
				return os.Rename(filepath.Join(web, secretsDir), filepath.Join(web, localDir, "mine"))
			})
			return nil
		}, "tmpfs web/local/mine"},
		{"a link out is in its place", func(t *testing.T, v *victim, web string) error {
			elsewhere(t, web, func() error {
				if err := os.Rename(filepath.Join(web, secretsDir), filepath.Join(web, "2")); err != nil {
					return err
				}
				return os.Symlink(v.outside, filepath.Join(web, secretsDir))
			})
			return nil
		}, "tmpfs web/2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVictim(t)
			if err := (secrets{}).Prepare(t.Context(), v.s); err != nil {
				t.Fatal(err)
			}
			if got := mounted(t, v.s.Root); len(got) == 0 {
				t.Skip("may not mount")
			}
			if err := tt.move(t, v, filepath.Join(v.s.Root, "web")); err != nil {
				t.Fatal(err)
			}
			if err := (secrets{}).Release(t.Context(), v.s); err != nil {
				t.Errorf("Release: %v", err)
			}
			if got := strings.Join(mounted(t, v.s.Root), ", "); got != tt.left {
				t.Errorf("after Release: got %q mounted, want %q", got, tt.left)
			}
			if err := Unmount(v.s.Root); err != nil {
				t.Errorf("Unmount: %v", err)
			}
			if got := mounted(t, v.s.Root); len(got) > 0 {
				t.Errorf("after Unmount: %q are mounted", got)
			}
			v.intact(tt.name)
		})
	}
}

// What was mounted below an allocation for no task of it is not emptied with its directory, also
// where that is reached by a link.
func TestUnmountLeavesOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	v := newVictim(t)
	link := filepath.Join(t.TempDir(), "data")
	if err := os.Symlink(v.s.Root, link); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(v.s.Root, "alloc/data")
	if err := unix.Mount("/proc", at, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("bind: %v", err)
	}
	for _, dir := range []string{v.s.Root, link} {
		if err := Unmount(dir); err == nil || !strings.Contains(err.Error(), "alloc/data is still mounted") {
			t.Errorf("Unmount(%s): got %v, want that alloc/data is still mounted", dir, err)
		}
	}
	if _, err := os.Stat(filepath.Join(at, "self")); err != nil {
		t.Errorf("it was unmounted: %v", err)
	}
}

// Of a directory that is gone nothing is to be freed.
func TestUnmountNothing(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "gone")} {
		if err := Unmount(dir); err != nil {
			t.Error(err)
		}
	}
}
