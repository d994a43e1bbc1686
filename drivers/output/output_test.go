package output_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
)

// where returns an output with limits in a directory of its own.
func where(t testing.TB, files int, size int64) drivers.Output {
	return drivers.Output{Root: t.TempDir(), Path: "alloc/logs/web.stdout", MaxFiles: files, MaxFileSize: size}
}

func open(t testing.TB, o drivers.Output) *output.Log {
	t.Helper()
	l, err := output.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func write(t testing.TB, l *output.Log, text string) {
	t.Helper()
	if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("Write = %d, %v; want %d", n, err, len(text))
	}
}

func read(t testing.TB, o drivers.Output) string {
	t.Helper()
	data, err := output.Read(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// file is the path of a numbered file.
func file(o drivers.Output, n int) string {
	return filepath.Join(o.Root, fmt.Sprintf("%s.%d", o.Path, n))
}

func files(t testing.TB, o drivers.Output) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(o.Root, o.Path+".*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		names = append(names, filepath.Base(path))
	}
	slices.Sort(names)
	return names
}

// Of a log the newest files are kept, each of the size that the job limits, and a file is
// begun when there is something to put into it.
func TestTheNewestIsKept(t *testing.T) {
	o := where(t, 2, 10)
	l := open(t, o)
	for i := range 7 {
		write(t, l, fmt.Sprintf("line %d\n", i)) // 7 bytes each
	}
	if got, want := strings.Join(files(t, o), " "), "web.stdout.3 web.stdout.4"; got != want {
		t.Errorf("files: got %s, want %s", got, want)
	}
	if got, want := read(t, o), "\nline 4\nline 5\nline 6\n"; got != want[3:] {
		t.Errorf("content: got %q, want %q", got, want[3:])
	}
	write(t, l, "x")
	if got, want := strings.Join(files(t, o), " "), "web.stdout.3 web.stdout.4"; got != want {
		t.Errorf("after a full file: got %s, want %s", got, want)
	}
}

// A log goes on where it was left; lower limits have their effect at once.
func TestALogGoesOn(t *testing.T) {
	o := where(t, 5, 10)
	for _, text := range []string{"0123456789abcd", "efghijklm", "n"} {
		l, err := output.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		write(t, l, text)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := read(t, o), "0123456789abcdefghijklmn"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	o.MaxFiles = 1
	open(t, o)
	if got, want := read(t, o), "klmn"; got != want {
		t.Errorf("with one file: got %q, want %q", got, want)
	}
}

// What two write that opened the same log of a set is there once and whole.
func TestALogIsShared(t *testing.T) {
	o := where(t, 1000, 50)
	var set output.Set
	ended := make(chan error, 2)
	for _, who := range []string{"a", "b"} {
		l, err := set.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range 1000 {
				if _, err := l.Write([]byte(who + "\n")); err != nil {
					ended <- err
					return
				}
			}
			ended <- l.Close()
		}()
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	got := read(t, o)
	if strings.Count(got, "a\n") != 1000 || strings.Count(got, "b\n") != 1000 || len(got) != 4000 {
		t.Errorf("%d bytes, %d of a, %d of b", len(got), strings.Count(got, "a\n"), strings.Count(got, "b\n"))
	}
}

// Nothing that a task puts in a file's place is followed or written to.
func TestLinksInPlaceOfAFileAreNotFollowed(t *testing.T) {
	for name, place := range map[string]func(victim, inside, kept string) error{
		"link out of the root": func(victim, _, kept string) error { return os.Symlink(victim, kept) },
		"link inside of it":    func(_, _, kept string) error { return os.Symlink("../../inside", kept) },
		"second name":          func(_, inside, kept string) error { return os.Link(inside, kept) },
		"directory":            func(_, _, kept string) error { return os.Mkdir(kept, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			o := where(t, 3, 4)
			l := open(t, o)
			victim, inside := filepath.Join(t.TempDir(), "victim"), filepath.Join(o.Root, "inside")
			for _, path := range []string{victim, inside} {
				if err := os.WriteFile(path, []byte("untouched"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := place(victim, inside, file(o, 1)); err != nil {
				t.Fatal(err)
			}
			write(t, l, "fullmore")
			for _, path := range []string{victim, inside} {
				if data, err := os.ReadFile(path); err != nil || string(data) != "untouched" {
					t.Errorf("%s holds %q, %v", path, data, err)
				}
			}
			if got, want := read(t, o), "fullmore"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A task may cut its log.
func TestACutFileIsWrittenOnAtItsEnd(t *testing.T) {
	o := where(t, 3, 100)
	l := open(t, o)
	write(t, l, "before\n")
	if err := os.Truncate(file(o, 0), 0); err != nil {
		t.Fatal(err)
	}
	write(t, l, "after\n")
	if got, want := read(t, o), "after\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What could not be written is counted, and the log says so where it is missing.
func TestLostBytesAreSaid(t *testing.T) {
	o := where(t, 10, 10)
	l := open(t, o)
	write(t, l, "0123456789")
	logs := filepath.Dir(file(o, 0))
	if err := os.Rename(logs, logs+".away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		write(t, l, "lost\n")
	}
	if err := os.Rename(logs+".away", logs); err != nil {
		t.Fatal(err)
	}
	write(t, l, "again\n")
	want := "0123456789[nomadish: 15 bytes of output are missing here: no such file or directory]\nagain\n"
	if got := read(t, o); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write(t, l, "and on\n")
	if got := read(t, o); got != want+"and on\n" {
		t.Errorf("got %q: it is said twice", got)
	}
}

// Who has no log writes all the same.
func TestNoLog(t *testing.T) { write(t, open(t, drivers.Output{}), "unheard") }

func TestNoRoot(t *testing.T) {
	if _, err := output.Open(drivers.Output{Root: filepath.Join(t.TempDir(), "none"), Path: "stdout"}); err == nil {
		t.Error("a log below no directory was opened")
	}
}

// FuzzAddress: whatever an output is, its address gives it again; and what is no address of ours
// gives none.
func FuzzAddress(f *testing.F) {
	f.Add("/var/lib/nomadish/client/alloc/x", "alloc/logs/web.stdout", 10, int64(10<<20))
	f.Add("/a b&c=%", "ü\x00\xff;#?", -1, int64(-1))
	f.Add("", "nomadish-output:/?files=x", 0, int64(0))
	f.Fuzz(func(t *testing.T, root, path string, files int, size int64) {
		want := drivers.Output{Root: root, Path: path, MaxFiles: files, MaxFileSize: size}
		if got, ok, err := output.Parse(output.Address(want)); !ok || err != nil || got != want {
			t.Fatalf("got %+v, %t, %v; want %+v", got, ok, err, want)
		}
		if o, ok, err := output.Parse(path); !strings.HasPrefix(strings.ToLower(path), "nomadish-output:") && (ok || err != nil) {
			t.Fatalf("%q is taken for an address: %+v, %v", path, o, err)
		}
	})
}
