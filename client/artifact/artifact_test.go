package artifact

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// entry is one of an archive.
type entry struct {
	name string
	kind byte // of tar; 0: a file
	body string
	link string
	mode int64
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.body))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(fs.FileMode(e.mode))
		body := e.body
		if e.link != "" {
			h.SetMode(fs.ModeSymlink | 0o777)
			body = e.link
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.name, "/") {
			continue // a directory, which has no content
		}
		if _, err := io.WriteString(f, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zst(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// serve answers each path with its bytes.
func serve(t *testing.T, files map[string][]byte) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func newFetcher(t *testing.T, cfg Config) *Fetcher {
	t.Helper()
	if cfg.RetryWait == 0 {
		cfg.RetryWait = time.Millisecond
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// into opens a new directory with a canary beside it, which must not change.
func into(t testing.TB) *os.Root {
	t.Helper()
	outer := t.TempDir()
	if err := os.WriteFile(filepath.Join(outer, "canary"), []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(outer, "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = root.Close()
		checkCanary(t, outer)
	})
	return root
}

func checkCanary(t testing.TB, outer string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(outer, "canary"))
	info, statErr := os.Lstat(filepath.Join(outer, "canary"))
	if err != nil || statErr != nil || string(got) != "canary" || info.Mode() != 0o644 {
		t.Errorf("the canary is %q (%v, %v)", got, err, statErr)
	}
	entries, err := os.ReadDir(outer)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the root lie %v, %v", entries, err)
	}
}

// list shows what is below a root: files with mode and content, links with their targets.
func list(t testing.TB, root *os.Root) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			out = append(out, fmt.Sprintf("%s/ %o", name, info.Mode().Perm()))
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := root.Readlink(name)
			if err != nil {
				return err
			}
			out = append(out, name+" -> "+to)
		default:
			data, err := root.ReadFile(name)
			if err != nil {
				return err
			}
			out = append(out, fmt.Sprintf("%s %v %s", name, info.Mode(), data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFetch(t *testing.T) {
	plain := tarOf(t,
		entry{name: "./", kind: tar.TypeDir, mode: 0o700}, entry{name: "bin/", kind: tar.TypeDir, mode: 0o750}, entry{name: "bin/run", body: "#!", mode: 0o4755},
		entry{name: "lib/a/b", body: "b"}, entry{name: "bin/link", kind: tar.TypeSymlink, link: "../lib/a/b"},
		entry{name: "copy", kind: tar.TypeLink, link: "lib/a/b"},
	)
	zipped := zipOf(t, entry{name: "x/y", body: "y", mode: 0o600}, entry{name: "x/l", link: "y"})
	one := tarOf(t, entry{name: "d/one", body: "1"})
	sum := sha256.Sum256([]byte("hello"))
	srv := serve(t, map[string][]byte{
		"/hello": []byte("hello"), "/a.tar": plain, "/a.tar.gz": gz(t, plain), "/a.tzst": zst(t, plain), "/z.zip": zipped,
		"/one.tgz": gz(t, one), "/h.gz": gz(t, []byte("hello")), "/noname": plain,
	})
	unpacked := []string{
		"d/ 755", "d/bin/ 750", "d/bin/link -> ../lib/a/b", "d/bin/run -rwxr-xr-x #!", "d/copy -rw-r--r-- b", "d/lib/ 755", "d/lib/a/ 755", "d/lib/a/b -rw-r--r-- b",
	}
	for _, tt := range []struct {
		source, mode, dest string
		options            map[string]string
		want               []string
		err                string
	}{
		{source: "/hello", dest: "d", want: []string{"d/ 755", "d/hello -rw-r--r-- hello"}},
		{source: "/hello", dest: ".", want: []string{"hello -rw-r--r-- hello"}},
		{source: "/hello", dest: "d/x", mode: "file", want: []string{"d/ 755", "d/x -rw-r--r-- hello"}},
		{source: "/hello?checksum=sha256:" + hex.EncodeToString(sum[:]), dest: "d", want: []string{"d/ 755", "d/hello -rw-r--r-- hello"}},
		{source: "/hello", options: map[string]string{"checksum": "md5:5d41402abc4b2a76b9719d911017c592"}, dest: "d", want: []string{"d/ 755", "d/hello -rw-r--r-- hello"}},
		{source: "/hello?checksum=md5:00000000000000000000000000000000", dest: "d", err: "checksum: md5 is 5d41402abc4b2a76b9719d911017c592, want 00000000000000000000000000000000: find out which file is the right one, then correct source or checksum"},
		{source: "/hello?filename=other", dest: "d", want: []string{"d/ 755", "d/other -rw-r--r-- hello"}},
		{source: "/a.tar", dest: "d", want: unpacked},
		{source: "/a.tar.gz", dest: "d", mode: "dir", want: unpacked},
		{source: "/a.tzst", dest: "d", want: unpacked},
		{source: "/noname?archive=tar", dest: "d", want: unpacked},
		{source: "/a.tar//lib/a", dest: "d", want: []string{"d/ 755", "d/b -rw-r--r-- b"}},
		{source: "/a.tar//l*", dest: "d", want: []string{"d/ 755", "d/a/ 755", "d/a/b -rw-r--r-- b"}},
		{source: "/a.tar//bin", dest: "d", err: `link "link" leads out of the destination`},
		{source: "/a.tar//nothing", dest: "d", err: `the archive has 0 entries "nothing", want one`},
		{source: "/z.zip", dest: "d", want: []string{"d/ 755", "d/x/ 755", "d/x/l -> y", "d/x/y -rw------- y"}},
		{source: "/z.zip?archive=false", dest: "d", want: []string{"d/ 755", "d/z.zip -rw-r--r-- " + string(zipped)}},
		{source: "/one.tgz", dest: "d/f", mode: "file", want: []string{"d/ 755", "d/f -rw-r--r-- 1"}},
		{source: "/a.tar", dest: "d/f", mode: "file", err: "mode file wants an archive of one file: it has 3 entries"},
		{source: "/h.gz", dest: "d/f", mode: "file", want: []string{"d/ 755", "d/f -rw-r--r-- hello"}},
		{source: "/h.gz", dest: "d", err: `a .gz holds one file without a name: say mode = "file" and its destination, or archive = false`},
		{source: "/hello", dest: "d", mode: "dir", err: "mode dir wants an archive of a directory"},
		{source: "/none", dest: "d", err: "the server answered 404 Not Found: correct the artifact's source, or publish the file there"},
		{source: "/hello?archive=zip", dest: "d", err: "unpack: zip: not a valid zip file"},
		{source: "/hello", dest: "../x", err: `destination "../x" is outside of the task's directory`},
		{source: "/hello", dest: "/x", err: `destination "/x" is outside of the task's directory`},
		{source: "/hello?filename=../x", dest: "d", err: `option filename: "../x" is not the name of a file`},
		{source: "/", dest: "d", err: "the source's address names no file: say filename in options, or mode = \"file\""},
	} {
		t.Run(tt.source+" "+tt.mode, func(t *testing.T) {
			root := into(t)
			err := newFetcher(t, Config{}).Fetch(t.Context(), &Request{Source: srv.URL + tt.source, Options: tt.options, Mode: tt.mode, Root: root, Dest: tt.dest})
			if tt.err != "" {
				if err == nil || !strings.HasSuffix(err.Error(), ": "+tt.err) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				for _, left := range list(t, root) {
					if left != "d/ 755" {
						t.Errorf("it left %s", left)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, list(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Sources that wait are refused with what to use, and no error shows what may be secret.
func TestSourcesRefused(t *testing.T) {
	for source, want := range map[string]string{
		"git::https://user:canary@host/x":   "sources of kind \"git\" are not supported",
		"git::ssh://git@host/x":             "sources of kind \"git\" are not supported",
		"git@github.com:a/b.git":            "sources of kind \"git\" are not supported",
		"github.com/a/b":                    "sources of kind \"git\" are not supported",
		"s3::https://s3.amazonaws.com/b/k":  "use the object's https address",
		"s3.amazonaws.com/b/k":              "use the object's https address",
		"gcs::https://www.googleapis.com/x": "use the object's https address",
		"hg::http://host/x":                 "sources of kind \"hg\" are not supported",
		"file:///etc/passwd":                "files of the node are not for tasks",
		"/etc/passwd":                       "files of the node are not for tasks",
		"../x":                              "files of the node are not for tasks",
		"ext::sh -c id":                     "sources of kind \"ext\" are not known",
		"ftp://host/canary":                 "sources of kind \"ftp\" are not known",
		"https://us\ner:canary@host/":       "source is not a valid URL",
		"https:///canary":                   "source has no host",
		"--upload-pack=x":                   "source must be a URL",
		"":                                  "source must be a URL",
		"https://host/a.zip//../b":          "is outside of it",
	} {
		err := newFetcher(t, Config{}).Fetch(t.Context(), &Request{Source: source, Root: into(t), Dest: "d"})
		var fault *Error
		if !errors.As(err, &fault) || !fault.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary@") {
			t.Errorf("%q: got %v, want %s", source, err, want)
		}
	}
}

// What the job wrote for a host goes to that host alone, and no error shows it.
func TestSecretsStayWithTheirHost(t *testing.T) {
	var seen sync.Map
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store("other", fmt.Sprint(r.Header, r.URL))
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		seen.Store("own"+r.URL.Path, user+password+r.Header.Get("X-Key")+r.URL.Query().Get("token"))
		if r.URL.Path == "/first" {
			http.Redirect(w, r, "/second", http.StatusFound)
			return
		}
		http.Redirect(w, r, other.URL+"/x", http.StatusFound)
	}))
	defer srv.Close()
	source := strings.Replace(srv.URL, "http://", "http://canary1:canary2@", 1) + "/first?token=canary4"
	err := newFetcher(t, Config{}).Fetch(t.Context(), &Request{
		Source: source, Headers: map[string]string{"x-key": "canary3", "Authorization": "canary5"}, Root: into(t), Dest: "d",
	})
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v, want 403 without a canary", err)
	}
	if got, _ := seen.Load("own/second"); got != "canary3" {
		t.Errorf("the source's host got %v behind a redirect of its own", got)
	}
	if got, _ := seen.Load("other"); got == nil || strings.Contains(fmt.Sprint(got), "canary") {
		t.Errorf("another host got %v", got)
	}
	if name := Name(source); strings.Contains(name, "canary") {
		t.Errorf("shown as %s", name)
	}
}

// A server elsewhere must not send the agent to what only this machine can reach.
func TestRedirectsToThisMachine(t *testing.T) {
	for from, refused := range map[string]bool{"198.51.100.7": true, "example.org": true, "127.0.0.1": false, "localhost": false} {
		ctx := t.Context()
		ctx = contextWithRedirect(ctx, from)
		for _, to := range []string{"169.254.169.254:80", "127.0.0.1:4646", "[::1]:80", "[fe80::1]:80", "0.0.0.0:80"} {
			if err := checkAddress(ctx, "tcp", to, nil); (err != nil) != refused {
				t.Errorf("from %s to %s: %v", from, to, err)
			}
		}
		if err := checkAddress(ctx, "tcp", "203.0.113.9:443", nil); err != nil {
			t.Errorf("from %s elsewhere: %v", from, err)
		}
	}
}

func TestRetries(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			http.Error(w, "later", http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "cut off")
		default:
			_, _ = io.WriteString(w, "all")
		}
	}))
	defer srv.Close()
	root := into(t)
	if err := newFetcher(t, Config{}).Fetch(t.Context(), &Request{Source: srv.URL + "/f", Root: root, Dest: "."}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, root); calls.Load() != 3 || len(got) != 1 || got[0] != "f -rw-r--r-- all" {
		t.Errorf("%d calls, got %v", calls.Load(), got)
	}
	calls.Store(0)
	if err := newFetcher(t, Config{Retries: -1}).Fetch(t.Context(), &Request{Source: srv.URL + "/f", Root: root, Dest: "."}); err == nil || calls.Load() != 1 {
		t.Errorf("without retries: %v after %d calls", err, calls.Load())
	}
}

// What a killed agent left is removed, and what was there stays unless it is replaced.
func TestFetchOverWhatIsThere(t *testing.T) {
	srv := serve(t, map[string][]byte{"/a.tar": tarOf(t,
		entry{name: "same", body: "new"}, entry{name: "dir/new", body: "new"}, entry{name: "link/x", body: "new"})})
	root := into(t)
	for _, name := range []string{"d/dir", "d/elsewhere"} {
		if err := root.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"d/same", "d/dir/old", "d/elsewhere/x"} {
		if err := root.WriteFile(name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := root.Symlink("elsewhere", "d/link"); err != nil {
		t.Fatal(err)
	}
	s, err := newStage(root, target{dir: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := s.file(); err != nil || f.Close() != nil { // and then the agent is killed
		t.Fatal(err)
	}
	if err := newFetcher(t, Config{}).Fetch(t.Context(), &Request{Source: srv.URL + "/a.tar", Root: root, Dest: "d"}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"d/ 755", "d/dir/ 755", "d/dir/new -rw-r--r-- new", "d/dir/old -rw------- old", "d/elsewhere/ 755", "d/elsewhere/x -rw------- old",
		"d/link/ 755", "d/link/x -rw-r--r-- new", "d/same -rw-r--r-- new",
	}
	if diff := cmp.Diff(want, list(t, root)); diff != "" {
		t.Error(diff)
	}
}

func TestParallelFetchesDoNotMix(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	defer srv.Close()
	f, root := newFetcher(t, Config{}), into(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			name := fmt.Sprint("f", i)
			err := f.Fetch(t.Context(), &Request{Source: srv.URL + "/" + name, Root: root, Dest: name})
			got, readErr := root.ReadFile(name + "/" + name)
			if err != nil || readErr != nil || string(got) != "/"+name {
				t.Errorf("%s holds %q (%v, %v)", name, got, err, readErr)
			}
		})
	}
	wg.Wait()
}
