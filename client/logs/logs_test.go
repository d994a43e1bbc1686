package logs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fixture is a collector's directories in a test.
type fixture struct {
	spools, alloc string
	stream        Stream
}

func newFixture(t testing.TB, files int, size int64) fixture {
	f := fixture{spools: filepath.Join(t.TempDir(), "spool"), alloc: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(f.alloc, "alloc", "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.stream = Stream{Key: "k.stdout", Root: f.alloc, Path: "alloc/logs/web.stdout", MaxFiles: files, MaxFileSize: size}
	return f
}

func (f fixture) collector(t testing.TB) *Collector {
	t.Helper()
	c, err := New(Config{Dir: f.spools, Gather: time.Millisecond, Poll: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attach(f.stream); err != nil {
		t.Fatal(err)
	}
	return c
}

func (f fixture) write(t testing.TB, text string) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(f.spools, f.stream.Key), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// kept returns the kept files' content, by name and all together.
func (f fixture) kept(t testing.TB) (names []string, all string) {
	t.Helper()
	dir := filepath.Join(f.alloc, "alloc", "logs")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range Numbers(entries, "web.stdout") {
		name := fmt.Sprintf("web.stdout.%d", n)
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		all += string(data)
	}
	return names, all
}

func drain(t testing.TB, c *Collector) {
	t.Helper()
	if err := c.Drain(t.Context(), "k.stdout"); err != nil {
		t.Fatal(err)
	}
}

func TestRotationKeepsTheNewest(t *testing.T) {
	f := newFixture(t, 2, 10)
	c := f.collector(t)
	for i := range 7 {
		f.write(t, fmt.Sprintf("line %d\n", i)) // 7 bytes each
		drain(t, c)
	}
	names, all := f.kept(t)
	if got, want := strings.Join(names, " "), "web.stdout.3 web.stdout.4"; got != want {
		t.Errorf("files: got %s, want %s", got, want)
	}
	if want := "line 4\nline 5\nline 6\n"; !strings.HasSuffix(want, all) || len(all) != 19 {
		t.Errorf("content: got %q", all)
	}
}

// TestEveryCrashIsRepaired stops after each of the steps of a move: the numbered file and
// the position differ then, and the next collector loses and doubles nothing.
func TestEveryCrashIsRepaired(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, f fixture)
	}{
		{"nothing", func(*testing.T, fixture) {}},
		{"moved, position not stored", func(t *testing.T, f fixture) {
			s := &stream{cfg: f.stream, spool: filepath.Join(f.spools, f.stream.Key)}
			pos, ok, err := readPosition(s.spool + positionSuffix)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			s.pos = pos
			spool, err := os.Open(s.spool)
			if err != nil {
				t.Fatal(err)
			}
			defer spool.Close()
			if err := s.copy(spool, 25); err != nil {
				t.Fatal(err)
			}
		}},
		{"newest position torn", func(t *testing.T, f fixture) {
			path := filepath.Join(f.spools, f.stream.Key+positionSuffix)
			pos, _, err := readPosition(path)
			if err != nil {
				t.Fatal(err)
			}
			pos.Seq++
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			copy(data[slotSize*(pos.Seq%2):], pos.encode()[:20])
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, 100, 10)
			c := f.collector(t)
			var want strings.Builder
			for i := range 5 {
				fmt.Fprintf(&want, "line %d\n", i)
			}
			f.write(t, want.String())
			drain(t, c)
			for i := range 5 { // written while nobody collects
				text := fmt.Sprintf("away %d\n", i)
				want.WriteString(text)
				f.write(t, text)
			}
			tt.damage(t, f)
			drain(t, f.collector(t))
			if _, got := f.kept(t); got != want.String() {
				t.Errorf("got %q, want %q", got, want.String())
			}
		})
	}
}

func TestSpoolIsBoundedWhileAway(t *testing.T) {
	f := newFixture(t, 3, 1<<20)
	f.collector(t)
	chunk := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	for range 8 {
		f.write(t, chunk)
	}
	f.write(t, "the end\n")
	drain(t, f.collector(t))
	_, all := f.kept(t)
	if len(all) > 3<<20 || !strings.HasSuffix(all, "the end\n") {
		t.Errorf("kept %d bytes", len(all))
	}
	if used := usedBlocks(t, filepath.Join(f.spools, f.stream.Key)); used > 2<<20 {
		t.Errorf("the spool still takes %d bytes of disk", used)
	}
}

func TestLinksInPlaceOfAFileAreNotFollowed(t *testing.T) {
	f := newFixture(t, 3, 100)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(f.alloc, "inside")
	if err := os.WriteFile(inside, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(f.alloc, "alloc/logs/web.stdout.0")
	for name, place := range map[string]func() error{
		"link out of the allocation": func() error { return os.Symlink(victim, kept) },
		"link inside of it":          func() error { return os.Symlink("../../inside", kept) },
		"second name":                func() error { return os.Link(inside, kept) },
		"directory":                  func() error { return os.Mkdir(kept, 0o755) },
	} {
		if err := os.RemoveAll(kept); err != nil {
			t.Fatal(err)
		}
		if err := place(); err != nil {
			t.Fatal(err)
		}
		c := f.collector(t)
		f.write(t, "x\n")
		drain(t, c)
		for _, path := range []string{victim, inside} {
			if data, err := os.ReadFile(path); err != nil || string(data) != "untouched" {
				t.Errorf("%s: %s holds %q, %v", name, path, data, err)
			}
		}
	}
}

func TestTruncatedSpoolIsReadFromItsStart(t *testing.T) {
	f := newFixture(t, 3, 100)
	c := f.collector(t)
	f.write(t, "before\n")
	drain(t, c)
	if err := os.Truncate(filepath.Join(f.spools, f.stream.Key), 0); err != nil {
		t.Fatal(err)
	}
	f.write(t, "aft\n")
	drain(t, c)
	if _, got := f.kept(t); got != "before\naft\n" {
		t.Errorf("got %q", got)
	}
}

func TestRunFollowsTheSpools(t *testing.T) {
	f := newFixture(t, 3, 1000)
	c := f.collector(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for i := range 3 {
		f.write(t, fmt.Sprintf("%d\n", i))
		want := strings.Repeat("x", i+1)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, all := f.kept(t); strings.Count(all, "\n") == len(want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the line never came")
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDetachRemovesTheSpool(t *testing.T) {
	f := newFixture(t, 3, 100)
	c := f.collector(t)
	for range 2 {
		if err := c.Detach(f.stream.Key); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(f.spools)
	if err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// FuzzLogRecords: whatever lies in a position file, reading it neither fails nor gives a
// position that writing would not give again; and of two records the newer valid one counts.
func FuzzLogRecords(f *testing.F) {
	one := position{Seq: 1, Offset: 10, Punched: 4, File: 2, Length: 3}
	two := position{Seq: 2, Offset: 4096, Punched: 4096, File: 3, Length: 0, Dropped: 9}
	pad := func(b []byte) []byte { return append(b, make([]byte, slotSize-len(b))...) }
	f.Add([]byte{})
	f.Add(one.encode())
	f.Add(append(pad(one.encode()), two.encode()...))
	f.Add(append(pad(two.encode()), one.encode()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ok := decodePosition(data)
		if !ok {
			return
		}
		if p.Offset < 0 || p.Punched > p.Offset || p.Length < 0 || p.File < 0 {
			t.Fatalf("impossible position %+v", p)
		}
		if !bytes.Contains(data, p.encode()) {
			t.Fatalf("position %+v is not in the file", p)
		}
		newer := p
		newer.Seq++
		if newer.Seq == 0 {
			return
		}
		both := append(pad(p.encode()), newer.encode()...)
		if got, ok := decodePosition(both); !ok || got != newer {
			t.Fatalf("got %+v, want the newer %+v", got, newer)
		}
	})
}

func BenchmarkMove(b *testing.B) {
	for _, size := range []int{100, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			f := newFixture(b, 3, 5<<20)
			c := f.collector(b)
			text := strings.Repeat("x", size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				f.write(b, text)
				drain(b, c)
			}
		})
	}
}
