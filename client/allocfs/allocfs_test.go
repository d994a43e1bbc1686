package allocfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// tree makes an allocation's directory with files and links; a value that begins with
// "-> " is a link's target.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"alloc/logs", "alloc/data", "web/local", "web/secrets", "web/private"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		target, link := strings.CutPrefix(content, "-> ")
		var err error
		if link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	fs := New(tree(t, map[string]string{
		"web/local/a.txt":     "hello",
		"web/secrets/token":   "canary",
		"web/private/x":       "canary",
		"alloc/data/absolute": "-> " + outside,
		"alloc/data/relative": "-> " + up + strings.TrimPrefix(outside, "/"),
		"alloc/data/inside":   "-> ../../web/local/a.txt",
		"alloc/data/secret":   "-> ../../web/secrets/token",
		"alloc/data/dir":      "-> ../../web/secrets",
		"alloc/data/loop":     "-> loop",
	}))
	for _, tt := range []struct {
		path, want, err string
		kind            nomadish.Kind
	}{
		{path: "web/local/a.txt", want: "hello"},
		{path: "/web/local/../local/./a.txt", want: "hello"},
		{path: "alloc/data/inside", want: "hello"},
		{path: "../x", err: "Path escapes the alloc directory", kind: nomadish.KindInvalid},
		{path: "web/../../x", err: "Path escapes the alloc directory", kind: nomadish.KindInvalid},
		{path: "alloc/data/absolute", err: "Path escapes the alloc directory", kind: nomadish.KindInvalid},
		{path: "alloc/data/relative", err: "Path escapes the alloc directory", kind: nomadish.KindInvalid},
		{path: "web/secrets/token", err: "Reading secret file prohibited: web/secrets/token", kind: nomadish.KindDenied},
		{path: "web/private/x", err: "Reading secret file prohibited: web/private/x", kind: nomadish.KindDenied},
		{path: "alloc/data/secret", err: "Reading secret file prohibited: alloc/data/secret", kind: nomadish.KindDenied},
		{path: "alloc/data/dir/token", err: "Reading secret file prohibited: alloc/data/dir/token", kind: nomadish.KindDenied},
		{path: "alloc/data/loop", err: "alloc/data/loop: more than 40 links", kind: nomadish.KindInvalid},
		{path: "web/local", err: "web/local is not a regular file", kind: nomadish.KindInvalid},
		{path: "web/none", err: "stat web/none: no such file or directory", kind: nomadish.KindNotFound},
		{path: "web/local/a.txt/b", err: "stat web/local/a.txt/b: no such file or directory", kind: nomadish.KindNotFound},
	} {
		t.Run(tt.path, func(t *testing.T) {
			got, err := readAll(fs, tt.path)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err || nomadish.KindOf(err) != tt.kind {
					t.Errorf("got error %v (kind %d), want %s (kind %d)", err, nomadish.KindOf(err), tt.err, tt.kind)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func readAll(fs FS, path string) (string, error) {
	r, err := fs.Read(path, 0, 0)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

// TestSwapsNeverLeadOut changes a directory into a link and back while it is read.
func TestSwapsNeverLeadOut(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := tree(t, map[string]string{"web/secrets/f": "canary"})
	place := filepath.Join(dir, "alloc/data/d")
	var done atomic.Bool
	swapped := make(chan error, 1)
	go func() {
		for i := 0; !done.Load(); i++ {
			err := os.RemoveAll(place)
			switch i % 3 {
			case 0:
				err = errors.Join(err, os.Mkdir(place, 0o755), os.WriteFile(filepath.Join(place, "f"), []byte("fine"), 0o644))
			case 1:
				err = errors.Join(err, os.Symlink(outside, place))
			case 2:
				err = errors.Join(err, os.Symlink("../../web/secrets", place))
			}
			if err != nil {
				swapped <- err
				return
			}
		}
		swapped <- nil
	}()
	fine := 0
	for range 10_000 {
		got, err := readAll(New(dir), "alloc/data/d/f")
		if got == "canary" {
			t.Fatal("read what lies outside")
		}
		if err == nil && got == "fine" {
			fine++
		}
	}
	done.Store(true)
	if err := <-swapped; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of 10000 reads found the file", fine)
}

func TestReadAt(t *testing.T) {
	fs := New(tree(t, map[string]string{"web/local/a": "0123456789"}))
	for _, tt := range []struct {
		offset, limit int64
		want          string
	}{{0, 3, "012"}, {4, 0, "456789"}, {8, 100, "89"}, {20, 5, ""}} {
		r, err := fs.Read("web/local/a", tt.offset, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || string(data) != tt.want {
			t.Errorf("offset %d limit %d: got %q, %v; want %q", tt.offset, tt.limit, data, err, tt.want)
		}
	}
}

func TestListAndStat(t *testing.T) {
	fs := New(tree(t, map[string]string{"web/local/b.json": "{}", "web/local/a": "\x00\x01", "web/local/l": "-> nowhere"}))
	files, err := fs.List("/web/local/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("%s %d %s %s", f.Name, f.Size, f.FileMode, f.ContentType))
	}
	want := "a 2 -rw-r--r-- application/octet-stream, b.json 2 -rw-r--r-- application/json, l 7 Lrwxrwxrwx "
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if info, err := fs.Stat("web"); err != nil || info.Name != "web" || !info.IsDir {
		t.Errorf("stat web: got %+v, %v", info, err)
	}
	if _, err := fs.List("web/secrets"); nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("list of secrets: got %v", err)
	}
	if root, err := fs.List("/"); err != nil || len(root) != 2 {
		t.Errorf("list of the root: got %d entries, %v", len(root), err)
	}
}

// gather reads a stream until it ends or done says so, and returns content and events.
func gather(run func(ctx context.Context, send Send) error, enough func(content, events string) bool) (content, events string, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = run(ctx, func(f *nomadish.StreamFrame) error {
		content += string(f.Data)
		events += f.FileEvent
		if enough != nil && enough(content, events) {
			cancel()
		}
		return nil
	})
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return content, events, err
}

func TestLogsFromAnyOffset(t *testing.T) {
	fs := New(tree(t, map[string]string{
		"alloc/logs/web.stdout.9": "nine,", "alloc/logs/web.stdout.10": "ten,", "alloc/logs/web.stdout.11": "eleven",
		"alloc/logs/web.stderr.0": "errors", "alloc/logs/web.stdout.x": "no", "alloc/logs/web2.stdout.0": "no",
	}))
	for _, tt := range []struct {
		origin string
		offset int64
		want   string
	}{
		{"start", 0, "nine,ten,eleven"},
		{"", 2, "ne,ten,eleven"},
		{"start", 7, "n,eleven"},
		{"start", 99, ""},
		{"end", 0, ""},
		{"end", 6, "eleven"},
		{"end", 8, "n,eleven"},
		{"end", 99, "nine,ten,eleven"},
	} {
		req := &nomadish.LogRequest{Task: "web", Type: "stdout", Origin: tt.origin, Offset: tt.offset}
		got, _, err := gather(func(ctx context.Context, send Send) error { return fs.Logs(ctx, req, nil, send) }, nil)
		if err != nil || got != tt.want {
			t.Errorf("origin %q offset %d: got %q, %v; want %q", tt.origin, tt.offset, got, err, tt.want)
		}
	}
	req := &nomadish.LogRequest{Task: "web", Type: "stdin"}
	if err := fs.Logs(t.Context(), req, nil, nil); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("type stdin: got %v", err)
	}
}

func TestLogsFollowOverRotation(t *testing.T) {
	dir := tree(t, map[string]string{"alloc/logs/web.stdout.0": "a"})
	next := map[string]func() error{
		"a":   func() error { return os.WriteFile(filepath.Join(dir, "alloc/logs/web.stdout.1"), []byte("b"), 0o644) },
		"ab":  func() error { return os.Remove(filepath.Join(dir, "alloc/logs/web.stdout.0")) },
		"abc": nil,
	}
	var dead atomic.Bool
	req := &nomadish.LogRequest{Task: "web", Type: "stdout", Follow: true}
	got, _, err := gather(func(ctx context.Context, send Send) error { return New(dir).Logs(ctx, req, dead.Load, send) },
		func(content, _ string) bool {
			if do := next[content]; do != nil {
				if err := do(); err != nil {
					t.Error(err)
				}
			}
			if content == "ab" {
				err := os.WriteFile(filepath.Join(dir, "alloc/logs/web.stdout.2"), []byte("c"), 0o644)
				if err != nil {
					t.Error(err)
				}
			}
			if content == "abc" {
				dead.Store(true) // the stream ends by itself then
			}
			return false
		})
	if err != nil || got != "abc" {
		t.Errorf("got %q, %v; want abc", got, err)
	}
}

func TestStreamTellsOfTruncationAndDeletion(t *testing.T) {
	dir := tree(t, map[string]string{"web/local/f": "first"})
	path := filepath.Join(dir, "web/local/f")
	req := &nomadish.FileRequest{Path: "web/local/f", Follow: true}
	content, events, err := gather(func(ctx context.Context, send Send) error { return New(dir).Stream(ctx, req, nil, send) },
		func(content, events string) bool {
			var err error
			switch {
			case content == "first" && events == "":
				err = os.WriteFile(path, []byte("2nd"), 0o644)
			case content == "first2nd" && events == "file truncated":
				err = os.Remove(path)
			}
			if err != nil {
				t.Error(err)
			}
			return false
		})
	if err != nil || content != "first2nd" || events != "file truncatedfile deleted" {
		t.Errorf("got %q, %q, %v", content, events, err)
	}
}

func BenchmarkRead(b *testing.B) {
	fs := New(tree(b, map[string]string{"web/local/a": "hello"}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readAll(fs, "web/local/a"); err != nil {
			b.Fatal(err)
		}
	}
}
