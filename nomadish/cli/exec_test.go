package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/mock"
)

// shell is the mock driver whose tasks take commands: they run here, in a directory of the test.
type shell struct {
	*mock.Driver
	dir string
}

func (s shell) Exec(ctx context.Context, _ *drivers.Handle, req *drivers.ExecRequest) (int, error) {
	cmd := exec.CommandContext(ctx, req.Command[0], req.Command[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "NOMAD_TASK_DIR="+filepath.Join(s.dir, "local"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = req.Stdin, req.Stdout, req.Stderr
	if req.TTY {
		cmd.Stderr = req.Stdout
	}
	err := cmd.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode(), nil
	}
	return 0, err
}

// TestEscaper: the escape character counts at the beginning of a line alone, however the typing
// comes in pieces.
func TestEscaper(t *testing.T) {
	for _, tt := range []struct {
		typed, want string
		escaped     bool
	}{
		{"ls\r", "ls\r", false},
		{"~.", "", true},
		{"ls\r~.rest", "ls\r", true},
		{"a~.\r", "a~.\r", false},
		{"~~.\r", "~.\r", false},
		{"~x", "~x", false},
		{"\n~\n~.", "\n~\n", true},
	} {
		for name, in := range map[string]io.Reader{"whole": strings.NewReader(tt.typed), "bytes": iotest.OneByteReader(strings.NewReader(tt.typed))} {
			escaped := false
			got, err := io.ReadAll(&escaper{r: in, char: '~', escaped: func() { escaped = true }, fresh: true})
			if err != nil || string(got) != tt.want || escaped != tt.escaped {
				t.Errorf("%q, %s: got %q, %v, %v; want %q, %v", tt.typed, name, got, escaped, err, tt.want, tt.escaped)
			}
		}
	}
}

// testExec: a command gets standard input, arguments and flags as they are, and its exit code is
// the program's.
func testExec(t *testing.T, c *cluster) {
	for _, tt := range []struct {
		args           []string
		stdin          string
		code           int
		stdout, stderr string
	}{
		{args: []string{"exec", "up", "echo", "-n", "hello", "--", "-x"}, stdout: "hello -- -x"},
		{args: []string{"exec", "-task", "t", "up/0", "--", "cat"}, stdin: "through", stdout: "through"},
		{args: []string{"exec", "-i=false", "up", "cat"}, stdin: "not passed"},
		{args: []string{"alloc", "exec", "up.g[0]", "sh", "-c", "echo out; echo err >&2; exit 7"}, code: 7, stdout: "out\n", stderr: "err\n"},
		{args: []string{"alloc", "exec", "-job", "up", "true"}},
		{args: []string{"exec", "up", "/nonexistent"}, code: ExitFailed, stderr: "exec in task \"t\""},
		{args: []string{"exec", "-task", "x", "up", "true"}, code: ExitFailed, stderr: `no task "x"`},
		{args: []string{"exec", "upp", "true"}, code: ExitFailed, stderr: `did you mean "up"?`},
		{args: []string{"exec", "up"}, code: ExitUsage, stderr: "at least 2 arguments"},
		{args: []string{"exec", "-e", "no", "up", "true"}, code: ExitUsage, stderr: "not one character"},
		{args: []string{"alloc", "restart", "-all-tasks", "up", "t"}, code: ExitUsage, stderr: "exclude"},
		{args: []string{"alloc", "signal", "up", "x"}, code: ExitFailed, stderr: `no task "x"`},
	} {
		got := runs(t, tt.stdin, c.env, tt.args...)
		if got.code != tt.code || got.stdout != tt.stdout || !strings.Contains(got.stderr, tt.stderr) {
			t.Errorf("%v: got %+v, want %d, %q, %q", tt.args, got, tt.code, tt.stdout, tt.stderr)
		}
	}
}

// TestPermissions: a copy has the modes that the file's text says, and none without one.
func TestPermissions(t *testing.T) {
	for text, want := range map[string]os.FileMode{
		"-rw-r-----": 0o640, "-rwxr-xr-x": 0o755, "drwx------": 0o700, "dtrwxrwxrwx": 0o777, "----------": 0, "": 0,
	} {
		if got := permissions(text); got != want {
			t.Errorf("%q: got %o, want %o", text, got, want)
		}
	}
}

// testCopy: files and directories go into a task and come back the same.
func testCopy(t *testing.T, c *cluster) {
	here := t.TempDir()
	for name, text := range map[string]string{"one": "1", "dir/two": "22", "dir/sub/three": strings.Repeat("3", 100_000)} {
		file := filepath.Join(here, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(here, "dir", "link")); err != nil {
		t.Fatal(err)
	}
	there := t.TempDir()
	if err := os.MkdirAll(filepath.Join(c.shell, "local"), 0o755); err != nil {
		t.Fatal(err)
	}
	same := func(path, want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: got %.20q, %v; want %.20q", path, got, err, want)
		}
	}
	c.ok(t, "cp", filepath.Join(here, "one"), "up:"+there)
	same(filepath.Join(there, "one"), "1")
	c.ok(t, "cp", filepath.Join(here, "one"), "up:/local/renamed")
	same(filepath.Join(c.shell, "local", "renamed"), "1")
	if got := c.run(t, "cp", filepath.Join(here, "dir"), "up/0:"+there+"/"); got.code != ExitOK || !strings.Contains(got.stderr, "1 file left out") {
		t.Errorf("got %+v", got)
	}
	same(filepath.Join(there, "dir", "sub", "three"), strings.Repeat("3", 100_000))
	back := t.TempDir()
	c.ok(t, "cp", "up:"+there+"/dir", back)
	same(filepath.Join(back, "dir", "two"), "22")
	same(filepath.Join(back, "dir", "sub", "three"), strings.Repeat("3", 100_000))
	c.ok(t, "cp", "up:"+there+"/one", filepath.Join(back, "uno"))
	same(filepath.Join(back, "uno"), "1")
	c.ok(t, "cp", "up:alloc/logs", filepath.Join(back, "logs"))
	same(filepath.Join(back, "logs", "t.stdout.0"), "hello")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"a", "b"}, "one of both"},
		{[]string{"up:a", "up:b"}, "one of both"},
		{[]string{"up:" + there + "/nothing", back}, "tar"},
		{[]string{"up:alloc/nothing", back}, "alloc/nothing"},
		{[]string{filepath.Join(here, "one"), "up:other/x"}, "no place"},
		{[]string{filepath.Join(here, "none"), "up:/tmp"}, "no such file"},
	} {
		if got := c.run(t, append([]string{"cp"}, tt.args...)...); got.code == ExitOK || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("%v: got %+v, want %q", tt.args, got, tt.want)
		}
	}
}

// TestUnpackStaysInside: an archive that a task sends writes nothing but below the path that was
// asked for, whatever its names are.
func TestUnpackStaysInside(t *testing.T) {
	for _, name := range []string{"../evil", "/evil", "dir/../../evil", "other", "dirx", strings.Repeat("dir/", 150) + "x"} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1, Mode: 0o600}), w.Close()); err != nil && !strings.Contains(err.Error(), "missed writing") {
			t.Fatal(err)
		}
		b.WriteString(strings.Repeat("x", 2048))
		outer := t.TempDir()
		if err := os.Mkdir(filepath.Join(outer, "in"), 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(outer, "in"))
		if err != nil {
			t.Fatal(err)
		}
		x := &copier{progress: &progress{now: nil}}
		if err := x.unpack(&b, root, "dir", "dir"); err == nil {
			t.Errorf("%q was unpacked", name)
		}
		root.Close()
		var found []string
		if err := filepath.WalkDir(outer, func(path string, _ os.DirEntry, err error) error {
			found = append(found, path)
			return err
		}); err != nil || len(found) != 2 {
			t.Errorf("%q left %v, %v", name, found, err)
		}
	}
	if job, file, ok := remotePath("./a:b"); ok || file != "./a:b" || job != "" {
		t.Error("a local path with a colon was taken for a job's")
	}
	if got := slices.Collect(func(yield func(string) bool) { j, f, _ := remotePath("web/0:/x"); _ = yield(j) && yield(f) }); !slices.Equal(got, []string{"web/0", "/x"}) {
		t.Errorf("got %q", got)
	}
}
