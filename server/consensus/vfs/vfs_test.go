package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// Every file system behaves alike as long as nothing crashes.
func TestFileSystems(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{
		"os":   vfs.OS{},
		"mem":  vfs.NewMem(),
		"hook": vfs.WithHook(vfs.NewMem(), func(vfs.Op, string) error { return nil }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			must(t, fsys.MkdirAll(dir, 0o700))
			t.Run("content", func(t *testing.T) { checkContent(t, fsys, filepath.Join(dir, "content")) })
			t.Run("names", func(t *testing.T) { checkNames(t, fsys, filepath.Join(dir, "names")) })
			t.Run("flags", func(t *testing.T) { checkFlags(t, fsys, filepath.Join(dir, "flags")) })
		})
	}
}

func checkContent(t *testing.T, fsys vfs.FS, dir string) {
	must(t, fsys.MkdirAll(dir, 0o700))
	f, err := vfs.Create(fsys, filepath.Join(dir, "f"))
	must(t, err)
	_, err = f.WriteAt([]byte("world"), 6)
	must(t, err)
	_, err = f.WriteAt([]byte("hello"), 0)
	must(t, err)
	must(t, f.Truncate(8))
	must(t, f.Allocate(10))
	must(t, f.Allocate(5))
	must(t, f.Sync())
	if size, err := f.Size(); err != nil || size != 10 {
		t.Errorf("size %d, %v, want 10", size, err)
	}
	p := make([]byte, 12)
	if n, err := f.ReadAt(p, 0); n != 10 || !errors.Is(err, io.EOF) || string(p[:n]) != "hello\x00wo\x00\x00" {
		t.Errorf("read %q, %v; want what was written, zeros and EOF", p[:n], err)
	}
	must(t, f.Close())
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("write to a closed file: %v, want fs.ErrClosed", err)
	}
}

func checkNames(t *testing.T, fsys vfs.FS, dir string) {
	must(t, fsys.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	must(t, vfs.WriteFile(fsys, filepath.Join(dir, "b"), []byte("one")))
	must(t, vfs.WriteFile(fsys, filepath.Join(dir, "a"), []byte("two")))
	must(t, fsys.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	must(t, fsys.SyncDir(dir))
	names, err := fsys.ReadDir(dir)
	must(t, err)
	if want := []string{"b", "sub"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if data, err := vfs.ReadFile(fsys, filepath.Join(dir, "b"), 3); err != nil || string(data) != "two" {
		t.Errorf("read %q, %v, want what was renamed", data, err)
	}
	if _, err := vfs.ReadFile(fsys, filepath.Join(dir, "b"), 2); err == nil || !strings.Contains(err.Error(), "more than 2") {
		t.Errorf("read beyond the limit: %v, want an error that names it", err)
	}
	must(t, fsys.Remove(filepath.Join(dir, "b")))
	must(t, fsys.Remove(filepath.Join(dir, "sub")))
	for what, err := range map[string]error{
		"remove": fsys.Remove(filepath.Join(dir, "b")),
		"rename": fsys.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "c")),
		"open":   second(vfs.Open(fsys, filepath.Join(dir, "b"))),
		"list":   second(fsys.ReadDir(filepath.Join(dir, "sub"))),
		"create": second(vfs.Create(fsys, filepath.Join(dir, "missing", "f"))),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is missing: %v, want fs.ErrNotExist", what, err)
		}
	}
}

func checkFlags(t *testing.T, fsys vfs.FS, dir string) {
	must(t, fsys.MkdirAll(dir, 0o700))
	name := filepath.Join(dir, "f")
	must(t, vfs.WriteFile(fsys, name, []byte("content")))
	if _, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("exclusive create of what exists: %v, want fs.ErrExist", err)
	}
	f, err := vfs.Open(fsys, name)
	must(t, err)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file open for reading took a write")
	}
	must(t, f.Close())
	f, err = vfs.Create(fsys, name)
	must(t, err)
	if size, err := f.Size(); err != nil || size != 0 {
		t.Errorf("size %d, %v after truncation at open, want 0", size, err)
	}
	must(t, f.Close())
}

// A crash keeps what was synced, whatever the dice say, and may lose all else.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	for seed := range uint64(200) {
		var rng *rand.Rand
		if seed > 0 {
			rng = rand.New(rand.NewPCG(seed, 0))
		}
		m := vfs.NewMem()
		must(t, m.MkdirAll("d", 0o700))
		must(t, vfs.WriteFile(m, "d/safe", bytes.Repeat([]byte("s"), 2000)))
		f, err := m.OpenFile("d/safe", os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte("n"), 1200), 1000)
		must(t, err)
		_, err = vfs.Create(m, "d/unnamed")
		must(t, err)

		after := m.Crash(rng)
		if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, vfs.ErrCrashed) {
			t.Fatalf("read after the crash: %v, want ErrCrashed", err)
		}
		data, err := vfs.ReadFile(after, "d/safe", 1<<20)
		must(t, err)
		if len(data) < 2000 {
			t.Fatalf("seed %d: %d bytes left of 2000 synced", seed, len(data))
		}
		// The write began in the middle of sector 1: the synced bytes before it are there.
		if !bytes.Equal(data[:1000], bytes.Repeat([]byte("s"), 1000)) {
			t.Fatalf("seed %d: synced bytes changed", seed)
		}
		if rng == nil && !bytes.Equal(data, bytes.Repeat([]byte("s"), 2000)) {
			t.Error("unsynced bytes survived the worst crash")
		}
	}
}

// Over many crashes each outcome that the contract allows comes up: old, new and mixed content.
func TestCrashTearsWrites(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(100) {
		m := vfs.NewMem()
		must(t, vfs.WriteFile(m, "f", bytes.Repeat([]byte("o"), 2*vfs.SectorSize)))
		f, err := m.OpenFile("f", os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte("n"), 2*vfs.SectorSize), 0)
		must(t, err)
		data, err := vfs.ReadFile(m.Crash(rand.New(rand.NewPCG(seed, 1))), "f", 1<<20)
		must(t, err)
		seen[string([]byte{data[0], data[vfs.SectorSize-1], data[vfs.SectorSize], data[2*vfs.SectorSize-1]})] = true
	}
	for _, want := range []string{"oooo", "nnnn", "oonn", "nnoo"} {
		if !seen[want] {
			t.Errorf("no crash left %s", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("torn within a sector: %v", seen)
	}
}

// A name that was not synced may be gone; the content that a synced name had before is back.
func TestCrashForgetsUnsyncedNames(t *testing.T) {
	m := vfs.NewMem()
	must(t, vfs.WriteFile(m, "kept", []byte("old")))
	must(t, vfs.WriteFile(m, "other", []byte("new")))
	must(t, m.Rename("other", "kept"))
	after := m.Crash(nil)
	for name, want := range map[string]string{"kept": "old", "other": "new"} {
		if data, err := vfs.ReadFile(after, name, 10); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v, want %q", name, data, err, want)
		}
	}
}

// An error of the hook comes back in place of the call, which does nothing.
func TestHookFails(t *testing.T) {
	m := vfs.NewMem()
	must(t, vfs.WriteFile(m, "f", []byte("old")))
	var failing vfs.Op
	fsys := vfs.WithHook(m, func(op vfs.Op, name string) error {
		if op == failing {
			return syscall.ENOSPC
		}
		return nil
	})
	for op, call := range map[vfs.Op]func(f vfs.File) error{
		vfs.OpOpen:     func(vfs.File) error { return second(vfs.Open(fsys, "f")) },
		vfs.OpRemove:   func(vfs.File) error { return fsys.Remove("f") },
		vfs.OpRename:   func(vfs.File) error { return fsys.Rename("f", "g") },
		vfs.OpMkdir:    func(vfs.File) error { return fsys.MkdirAll("d", 0) },
		vfs.OpReadDir:  func(vfs.File) error { return second(fsys.ReadDir(".")) },
		vfs.OpSyncDir:  func(vfs.File) error { return fsys.SyncDir(".") },
		vfs.OpRead:     func(f vfs.File) error { return second(f.ReadAt(make([]byte, 1), 0)) },
		vfs.OpWrite:    func(f vfs.File) error { return second(f.WriteAt([]byte("new"), 0)) },
		vfs.OpTruncate: func(f vfs.File) error { return f.Truncate(0) },
		vfs.OpAllocate: func(f vfs.File) error { return f.Allocate(100) },
		vfs.OpSync:     func(f vfs.File) error { return f.Sync() },
	} {
		failing = vfs.OpMkdir
		if op == vfs.OpMkdir {
			failing = vfs.OpSync
		}
		f, err := fsys.OpenFile("f", os.O_RDWR, 0)
		must(t, err)
		failing = op
		if err := call(f); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("op %d: %v, want ENOSPC", op, err)
		}
	}
	if data, err := vfs.ReadFile(m, "f", 10); err != nil || string(data) != "old" {
		t.Errorf("%q, %v after calls that failed, want what was there", data, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }
