package output_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
)

// running makes a pipe to a log and runs it. wait returns when it has ended.
func running(t testing.TB, set *output.Set, o drivers.Output) (p *output.Pipe, wait func()) {
	t.Helper()
	p, err := set.Pipe(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	wait = func() {
		t.Helper()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(func() { cancel(); wait(); _ = p.Writer.Close() })
	return p, wait
}

func say(t testing.TB, p *output.Pipe, text string) {
	t.Helper()
	if _, err := p.Writer.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// All that goes into a pipe is in the log when the pipe has ended, in its order, over many files.
func TestPipe(t *testing.T) {
	o := where(t, 1<<20, 1000)
	var set output.Set
	p, wait := running(t, &set, o)
	var want strings.Builder
	for i := range 50_000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		say(t, p, line)
	}
	if err := p.Writer.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
	if got := read(t, o); got != want.String() {
		t.Errorf("%d bytes, want %d, in order", len(got), want.Len())
	}
}

// Drain moves what was written before, also while the pipe stays open and nobody runs it.
func TestDrain(t *testing.T) {
	o := where(t, 3, 10)
	var set output.Set
	p, err := set.Pipe(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "one\n", "two\nthree\nfour\n"} {
		say(t, p, text)
		if err := p.Drain(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := read(t, o), "one\ntwo\nthree\nfour\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := p.Drain(); err != nil {
		t.Errorf("Drain of a closed pipe: %v", err)
	}
}

// Who writes more than the log keeps takes no more of the disk than the log may.
func TestFloodIsBounded(t *testing.T) {
	o := where(t, 3, 1<<20)
	var set output.Set
	p, wait := running(t, &set, o)
	piece := strings.Repeat("0123456789abcde\n", 1<<12)
	for range 64 << 20 / len(piece) {
		say(t, p, piece)
		if n := len(files(t, o)); n > o.MaxFiles {
			t.Fatalf("%d files", n)
		}
	}
	say(t, p, "the end\n")
	if err := p.Writer.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
	got := read(t, o)
	if len(got) > 3<<20 || !strings.HasSuffix(got, "0123456789abcde\nthe end\n") {
		t.Errorf("%d bytes are kept", len(got))
	}
}

// A task that removes its log has a new one, and does not wait.
func TestARemovedFileIsMadeAnew(t *testing.T) {
	o := where(t, 3, 100)
	var set output.Set
	p, wait := running(t, &set, o)
	say(t, p, "before\n")
	if err := p.Drain(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file(o, 0)); err != nil {
		t.Fatal(err)
	}
	say(t, p, "after\n")
	if err := p.Writer.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
	if got, want := read(t, o), "after\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// appendOnly makes a log's newest file one that the kernel does not splice into, as those of some
// file systems are.
func appendOnly(t *testing.T, o drivers.Output, number int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + entry.Name()); err != nil || to != file(o, number) {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not open", file(o, number))
}

// A file that the kernel cannot move anything into is written all the same, up to its size; what
// is behind it goes on in the next one.
func TestCopiesWhereTheKernelCannotSplice(t *testing.T) {
	o := where(t, 1000, 100<<10)
	var set output.Set
	p, wait := running(t, &set, o)
	appendOnly(t, o, 0)
	want := strings.Repeat("0123456789abcde\n", 16<<10)
	say(t, p, want)
	if err := p.Writer.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
	if got := read(t, o); got != want {
		t.Errorf("%d bytes, want %d, in order; the first: %.100q", len(got), len(want), got)
	}
	if n := len(files(t, o)); n != 3 {
		t.Errorf("%d files, want 3", n)
	}
}

// What could not be copied is counted, and said when there is room again.
func TestCopiesToAFullDisk(t *testing.T) {
	o, free := diskOf(t, 64<<10)
	var set output.Set
	p, wait := running(t, &set, o)
	appendOnly(t, o, 0)
	const size = 256 << 10
	say(t, p, strings.Repeat("0123456789abcde\n", size/16))
	if err := p.Drain(); err != nil {
		t.Fatal(err)
	}
	free()
	say(t, p, "room again\n")
	if err := p.Writer.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
	checkMissing(t, read(t, o), size)
}

// On a full disk a task writes on. What is missing is said when there is room again.
func TestFullDisk(t *testing.T) {
	o, free := diskOf(t, 256<<10)
	var set output.Set
	p, wait := running(t, &set, o)
	const size = 4 << 20
	for range size / 16 {
		say(t, p, "0123456789abcde\n")
	}
	if err := p.Drain(); err != nil {
		t.Fatal(err)
	}
	free()
	say(t, p, "room again\n")
	if err := p.Writer.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
	checkMissing(t, read(t, o), size)
}

// diskOf returns a log on a disk of its own, of this size, that is half full. free empties it.
func diskOf(t *testing.T, size int) (o drivers.Output, free func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a disk of its own")
	}
	o = where(t, 10, 1<<20)
	if err := unix.Mount("tmpfs", o.Root, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(o.Root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(o.Root, "ballast")
	if err := os.WriteFile(ballast, make([]byte, size/2), 0o600); err != nil {
		t.Fatal(err)
	}
	return o, func() {
		t.Helper()
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// checkMissing checks a log that said size bytes to a disk that was full after some of them, and
// "room again" when it was not any more.
func checkMissing(t *testing.T, got string, size int) {
	t.Helper()
	before, notice, ok := strings.Cut(got, "[nomadish: ")
	var lost int
	if _, err := fmt.Sscanf(notice, "%d bytes of output are missing here: no space left on device]", &lost); !ok || err != nil || !strings.HasSuffix(notice, "]\nroom again\n") {
		t.Fatalf("%d bytes, then %q", len(before), notice[:min(len(notice), 200)])
	}
	if sum := len(strings.TrimSuffix(before, "\n")) + lost; sum != size && sum != size-1 {
		t.Errorf("%d bytes before and %d missing, want %d in all", len(before), lost, size)
	}
}

// So it is for what is written without a pipe.
func TestWriteToAFullDisk(t *testing.T) {
	o, free := diskOf(t, 64<<10)
	l := open(t, o)
	const size = 256 << 10
	write(t, l, strings.Repeat("0123456789abcde\n", size/16))
	free()
	write(t, l, "room again\n")
	checkMissing(t, read(t, o), size)
}

func BenchmarkPipe(b *testing.B) {
	for _, size := range []int{100, 8 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			var set output.Set
			p, wait := running(b, &set, where(b, 3, 10<<20))
			piece := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Writer.Write(piece); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Writer.Close(); err != nil {
				b.Fatal(err)
			}
			wait()
		})
	}
}
