package hooks

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client/allocfs"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/nomadish"
)

// These tests are about a task that puts anything in place of the directories that the agent
// works on, on its behalf and with more rights than it has. Whatever that is, what lies
// outside of the allocation is neither read nor changed.

const canary = "canary of the host"

// victim is an allocation, and what lies outside of it.
type victim struct {
	t       testing.TB
	s       *task.Setup
	outside string // a directory with a file f
	server  *httptest.Server
}

func newVictim(t testing.TB) *victim {
	t.Helper()
	v := &victim{t: t, s: newSetup(t), outside: t.TempDir()}
	for name, content := range map[string]string{"f": canary, "web.stdout.0": canary} {
		if err := os.WriteFile(filepath.Join(v.outside, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v.server = httptest.NewServer(http.HandlerFunc(serveArtifact))
	t.Cleanup(v.server.Close)
	t.Cleanup(func() { unmountAll(t, v.s.Root) })
	for _, dir := range []string{"alloc/data", "alloc/logs", "web/local", "web/private", "web/secrets", "web/tmp"} {
		if err := os.MkdirAll(filepath.Join(v.s.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// unmountAll frees what a mount was led to under another name.
func unmountAll(t testing.TB, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			if err := syscall.Unmount(f[4], syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
}

// serveArtifact answers with a file f, or an archive that holds one.
func serveArtifact(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/a.tar" {
		_, _ = io.WriteString(w, "artifact")
		return
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	_ = tw.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o4777, Size: 8}) // writes to memory
	_, _ = io.WriteString(tw, "artifact")
	_ = tw.Close()
	_, _ = w.Write(buf.Bytes())
}

// intact fails the test if what is outside has changed.
func (v *victim) intact(what string) {
	v.t.Helper()
	for _, name := range []string{"f", "web.stdout.0"} {
		path := filepath.Join(v.outside, name)
		got, err := os.ReadFile(path)
		info, statErr := os.Lstat(path)
		if err != nil || statErr != nil || string(got) != canary || info.Mode() != 0o600 {
			v.t.Fatalf("%s: outside, %s is %q (%v, %v, %v)", what, name, got, info, err, statErr)
		}
	}
	entries, err := os.ReadDir(v.outside)
	if err != nil || len(entries) != 2 {
		v.t.Fatalf("%s: outside lie %v, %v", what, entries, err)
	}
}

// operation is something that the agent does on a path of the allocation. It returns what it
// has read.
type operation struct {
	name  string
	place string // what a task would put something else in place of; below the allocation
	do    func(ctx context.Context, v *victim) string
}

func operations() []operation {
	files := func(v *victim) allocfs.FS { return allocfs.New(v.s.Root) }
	collect := func(stream func(send allocfs.Send) error) string {
		var out bytes.Buffer
		_ = stream(func(f *nomadish.StreamFrame) error { out.Write(f.Data); return nil }) // refused or not
		return out.String()
	}
	read := func(v *victim, name string) string {
		r, err := files(v).Read(name, 0, 0)
		if err != nil {
			return ""
		}
		defer r.Close()
		data, _ := io.ReadAll(r)
		return string(data)
	}
	ops := []operation{
		{"fs ls", "alloc/data", func(_ context.Context, v *victim) string {
			list, _ := files(v).List("alloc/data")
			return fmt.Sprint(len(list) == 2 && list[0].Size == int64(len(canary)))
		}},
		{"fs stat", "alloc/data", func(_ context.Context, v *victim) string {
			info, err := files(v).Stat("alloc/data/f")
			return fmt.Sprint(err == nil && info.Size == int64(len(canary)))
		}},
		{"fs cat", "alloc/data", func(_ context.Context, v *victim) string { return read(v, "alloc/data/f") }},
		{"fs cat a file", "alloc/data/f", func(_ context.Context, v *victim) string { return read(v, "alloc/data/f") }},
		{"fs readat", "web/local", func(_ context.Context, v *victim) string {
			r, err := files(v).Read("web/local/f", 3, 5)
			if err != nil {
				return ""
			}
			defer r.Close()
			data, _ := io.ReadAll(r)
			return fmt.Sprint(string(data) == canary[3:8])
		}},
		{"fs stream", "alloc/data", func(ctx context.Context, v *victim) string {
			return collect(func(send allocfs.Send) error {
				return files(v).Stream(ctx, &nomadish.FileRequest{Path: "alloc/data/f"}, nil, send)
			})
		}},
		{"logs", "alloc/logs", func(ctx context.Context, v *victim) string {
			return collect(func(send allocfs.Send) error {
				return files(v).Logs(ctx, &nomadish.LogRequest{Task: "web", Type: "stdout"}, nil, send)
			})
		}},
		{"logs, a file", "alloc/logs/web.stdout.0", func(ctx context.Context, v *victim) string {
			return collect(func(send allocfs.Send) error {
				return files(v).Logs(ctx, &nomadish.LogRequest{Task: "web", Type: "stdout"}, nil, send)
			})
		}},
		{"directories", "alloc/data", preparing(directories{})},
		{"directories of the task", "web/secrets", preparing(directories{})},
		{"secrets", "web/secrets", preparingAndReleasing(secrets{})},
		{"secrets of the task", "web", preparingAndReleasing(secrets{})},
		{"GC", "alloc/data", func(_ context.Context, v *victim) string { return fmt.Sprint(os.RemoveAll(v.s.Root) == nil && false) }},
		{"GC of a task", "web", func(_ context.Context, v *victim) string { return fmt.Sprint(os.RemoveAll(v.s.Root) == nil && false) }},
	}
	for _, place := range []string{"web", "web/local", "web/local/f"} {
		ops = append(ops,
			operation{"payload to " + place, place, func(ctx context.Context, v *victim) string {
				v.s.Task.DispatchPayload = &nomadish.DispatchPayloadConfig{File: "f"}
				return preparing(payload{})(ctx, v)
			}},
			operation{"artifact to " + place, place, fetching("/f")},
			operation{"archive to " + place, place, fetching("/a.tar")},
		)
	}
	return append(ops, operation{"artifact marks", "web/private", fetching("/f")})
}

// preparing calls a hook, which may refuse. Prepare reads nothing that a task gets to see.
func preparing(h task.Hook) func(context.Context, *victim) string {
	return func(ctx context.Context, v *victim) string {
		_ = h.Prepare(ctx, v.s)
		return ""
	}
}

func preparingAndReleasing(h interface {
	task.Hook
	task.Releaser
},
) func(context.Context, *victim) string {
	return func(ctx context.Context, v *victim) string {
		_ = h.Prepare(ctx, v.s)
		_ = h.Release(ctx, v.s)
		return ""
	}
}

func fetching(path string) func(context.Context, *victim) string {
	return func(ctx context.Context, v *victim) string {
		f, err := newTestFetcher()
		if err != nil {
			v.t.Fatal(err)
		}
		v.s.Spec.Env, v.s.Task.Artifacts = map[string]string{}, nil
		withArtifact(v.s, v.server.URL+path, "local/", nil)
		return preparing(artifacts{fetcher: f})(ctx, v)
	}
}

// plants are what a task can put into a place; to is the path of a directory outside.
var plants = []struct {
	name string
	put  func(place, to string) error
}{
	{"link to a file", func(place, to string) error { return os.Symlink(filepath.Join(to, "f"), place) }},
	{"link to a directory", func(place, to string) error { return os.Symlink(to, place) }},
	{"link up", func(place, to string) error {
		return os.Symlink(strings.Repeat("../", 40)+strings.TrimPrefix(to, "/"), place)
	}},
	{"link to the root by /proc", func(place, to string) error { return os.Symlink("/proc/self/root"+to, place) }},
	{"link to a file by /proc", func(place, to string) error {
		return os.Symlink("/proc/self/root"+filepath.Join(to, "f"), place)
	}},
	{"link to the working directory", func(place, _ string) error { return os.Symlink("/proc/self/cwd", place) }},
	{"directory of links", func(place, to string) error {
		if err := os.Mkdir(place, 0o777); err != nil {
			return err
		}
		return errors.Join(os.Symlink(filepath.Join(to, "f"), filepath.Join(place, "f")),
			os.Symlink(filepath.Join(to, "web.stdout.0"), filepath.Join(place, "web.stdout.0")))
	}},
	{"dangling link", func(place, to string) error { return os.Symlink(filepath.Join(to, "new"), place) }},
	{"link to itself", func(place, _ string) error { return os.Symlink(filepath.Base(place), place) }},
	{"FIFO", func(place, _ string) error { return syscall.Mkfifo(place, 0o666) }},
	{"device", func(place, _ string) error {
		if os.Geteuid() != 0 {
			return nil
		}
		return syscall.Mknod(place, syscall.S_IFCHR|0o666, 1<<8|5)
	}},
	{"strange names", func(place, _ string) error {
		if err := os.Mkdir(place, 0o777); err != nil {
			return err
		}
		return errors.Join(os.WriteFile(filepath.Join(place, "a\nb\x1b[2J"), nil, 0o600), os.WriteFile(filepath.Join(place, strings.Repeat("n", 255)), nil, 0o600))
	}},
	{"nothing", func(string, string) error { return nil }},
}

// Every operation, with everything in its place that is no proper directory or file.
func TestNothingLeadsOut(t *testing.T) {
	for _, op := range operations() {
		for _, p := range plants {
			t.Run(op.name+"/"+p.name, func(t *testing.T) {
				v := newVictim(t)
				place := filepath.Join(v.s.Root, op.place)
				if err := errors.Join(os.RemoveAll(place), p.put(place, v.outside)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if got := op.do(ctx, v); strings.Contains(got, canary) || got == "true" {
					t.Errorf("it read what is outside: %q", got)
				}
				if ctx.Err() != nil {
					t.Error("it waited for what a task put there")
				}
				v.intact(op.name)
			})
		}
	}
}

// Names that lead out by themselves are refused, or mean something inside.
func TestNamesDoNotLeadOut(t *testing.T) {
	v := newVictim(t)
	fs := allocfs.New(v.s.Root)
	up := strings.Repeat("../", 40)
	for _, name := range []string{
		up + v.outside + "/f", v.outside + "/f", "alloc/" + up + v.outside + "/f", "/proc/self/root" + v.outside + "/f", "alloc/data/..\x00/f",
		"alloc/data\n/../../../f", strings.Repeat("n", 300), strings.Repeat("n/", 3000), "..", "alloc/../..", "", ".", "web/secrets/../secrets/f",
	} {
		if r, err := fs.Read(name, 0, 0); err == nil {
			data, _ := io.ReadAll(r)
			_ = r.Close()
			if strings.Contains(string(data), canary) {
				t.Errorf("%q was read", name)
			}
		}
		if info, err := fs.Stat(name); err == nil && info.Size == int64(len(canary)) {
			t.Errorf("%q was found", name)
		}
	}
	for _, name := range []string{"../x", "..", "/x", "a/../../x", "alloc", "", ".", "a/b", "a\x00b"} {
		s := newSetup(t)
		s.Task.Name = name
		err := directories{}.Prepare(t.Context(), s)
		if name != "a\x00b" && err == nil {
			t.Errorf("task %q has directories", name)
		}
	}
	v.intact("names")
}

// A hard link to a file outside needs no defence here: it is made by a task that can reach
// the file, and the agent replaces files, or writes to them below directories of its own.
func TestHardLinksAreReplaced(t *testing.T) {
	v := newVictim(t)
	if err := os.Link(filepath.Join(v.outside, "f"), filepath.Join(v.s.Root, "web/local/f")); err != nil {
		t.Skip("the file systems differ")
	}
	fetching("/f")(t.Context(), v)
	fetching("/a.tar")(t.Context(), v)
	v.s.Task.DispatchPayload = &nomadish.DispatchPayloadConfig{File: "f"}
	if err := os.Remove(filepath.Join(v.s.Root, "web/local/f")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(v.outside, "f"), filepath.Join(v.s.Root, "web/local/f")); err != nil {
		t.Fatal(err)
	}
	preparing(payload{})(t.Context(), v)
	v.intact("hard link")
}

// swapsLeast is how many swaps there shall be during an operation's turns.
const swapsLeast = 1000

// A task swaps a directory for a link and back, as fast as it can, while the agent works on
// it. The soak does 10,000 of each operation, the test fewer.
func TestSwapsLeadNowhere(t *testing.T) {
	times := 150
	if os.Getenv("NOMADISH_SOAK") != "" {
		times = 10_000
	}
	for _, op := range operations() {
		if strings.HasPrefix(op.name, "GC") {
			continue // what it removes can't be swapped for long; TestSwapsDuringGC
		}
		t.Run(op.name, func(t *testing.T) {
			v := newVictim(t)
			swaps, stop := v.flip(op.place)
			begin, done := time.Now(), 0
			// A mount that was led to under another name stops the swaps, until the allocation goes.
			for ; done < times || swaps.Load() < swapsLeast && time.Since(begin) < time.Second; done++ {
				if got := op.do(t.Context(), v); strings.Contains(got, canary) || got == "true" {
					t.Fatalf("it read what is outside: %q", got)
				}
			}
			took := time.Since(begin)
			stop()
			if swaps.Load() == 0 {
				t.Error("nothing was swapped: that proves nothing")
			}
			v.intact(op.name)
			t.Logf("%d operations, %.0f swaps a second", done, float64(swaps.Load())/took.Seconds())
		})
	}
}

// flip exchanges a place with a link that leads outside, until stop is called. It exchanges
// them in one step, so that there is always one of the two.
func (v *victim) flip(place string) (swaps *atomic.Int64, stop func()) {
	v.t.Helper()
	here, link := filepath.Join(v.s.Root, place), filepath.Join(v.s.Root, ".link")
	target := v.outside
	switch filepath.Base(place) {
	case "f", "web.stdout.0":
		target = filepath.Join(v.outside, filepath.Base(place))
		if err := os.WriteFile(here, nil, 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
	if err := os.Symlink(target, link); err != nil {
		v.t.Fatal(err)
	}
	swaps = &atomic.Int64{}
	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for !done.Load() {
			if exchange(here, link) == nil {
				swaps.Add(1)
			}
		}
	}()
	return swaps, func() { done.Store(true); <-ended }
}

// Removing an allocation whose directories are being swapped removes nothing else.
func TestSwapsDuringGC(t *testing.T) {
	times := 50
	if os.Getenv("NOMADISH_SOAK") != "" {
		times = 10_000
	}
	v := newVictim(t)
	for range times {
		for i := range 20 {
			if err := os.MkdirAll(filepath.Join(v.s.Root, "alloc/data", fmt.Sprint(i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(v.s.Root, "web/local"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, stop := v.flip("alloc/data")
		_ = os.RemoveAll(v.s.Root) // it may find the directory not empty; the next look tries again
		stop()
		if err := os.RemoveAll(v.s.Root); err != nil {
			t.Fatal(err)
		}
		v.intact("GC")
	}
}
