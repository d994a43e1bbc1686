//go:build linux

package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// A source is found below the directory that it names, or is the host's.
func TestLocate(t *testing.T) {
	dir := drivers.TaskDir{Alloc: "/d/a/alloc", Task: "/d/a/t", Local: "/d/a/t/local", Secrets: "/d/a/t/secrets"}
	for source, want := range map[string]place{
		"local/x":             {"/d/a/t/local", "x"},
		"./local/../local/x":  {"/d/a/t/local", "x"},
		"local":               {"/d/a/t/local", "."},
		"secrets/x":           {"/d/a/t/secrets", "x"},
		"data":                {"/d/a/t", "data"},
		".":                   {"/d/a/t", "."},
		"../alloc/data":       {"/d/a/alloc", "data"},
		"../other/local":      {"/d/a", "other/local"},
		"/local/x":            {"/d/a/t/local", "x"},
		"/alloc":              {"/d/a/alloc", "."},
		"/secrets/../local/x": {"/d/a/t/local", "x"},
		"/d/a/t/local/x":      {"/d/a/t/local", "x"},
		"/localx":             {"", "/localx"},
		"/local/../etc":       {"", "/etc"},
		"/":                   {"", "/"},
		"../../b/t/local":     {},
		"../..":               {},
	} {
		got, err := locate(dir, source)
		if got != want || (err != nil) != (want == place{}) {
			t.Errorf("%s is %+v, %v; want %+v", source, got, err, want)
		}
	}
	if _, err := locate(drivers.TaskDir{}, "x"); err == nil {
		t.Error("a relative path of a task without a directory is accepted")
	}
}

// However fast a task puts a link in the place of a directory and back, what is opened, made
// and mounted is its own directory.
func TestSourcesWhileLinksSwap(t *testing.T) {
	base := t.TempDir()
	dir, outside := filepath.Join(base, "local"), filepath.Join(base, "outside")
	for _, d := range []string{filepath.Join(dir, "real", "sub"), filepath.Join(outside, "sub")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	var own [2]unix.Stat_t
	for i, sub := range []string{"real", "real/sub"} {
		if err := unix.Stat(filepath.Join(dir, sub), &own[i]); err != nil {
			t.Fatal(err)
		}
	}
	stop, swaps := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { swaps <- n }()
		a, b := filepath.Join(dir, "real"), filepath.Join(dir, "link")
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	s := &stage{dir: filepath.Join(base, "stage")}
	opened, refused := 0, 0
	for i := range 10_000 {
		for _, path := range []string{"real", "real/sub", "link/new"} {
			f, err := openSource(place{dir: dir, path: path}, path == "link/new")
			if err != nil {
				refused++
				continue
			}
			opened++
			if path != "link/new" {
				sameAsOwn(t, f, own[:])
			}
			if i%500 == 0 && path != "link/new" {
				stagedAsOwn(t, s, f, own[:])
			}
			_ = f.Close()
		}
	}
	close(stop)
	t.Logf("%d opened, %d refused, %d swaps", opened, refused, <-swaps)
	if err := s.clear(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside there are %v, %v: something was made there", entries, err)
	}
	if opened == 0 || refused == 0 {
		t.Error("there was no race")
	}
}

func sameAsOwn(t *testing.T, f *os.File, own []unix.Stat_t) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Ino != own[0].Ino && st.Ino != own[1].Ino {
		t.Fatal("a directory outside was opened")
	}
}

func stagedAsOwn(t *testing.T, s *stage, f *os.File, own []unix.Stat_t) {
	t.Helper()
	at, err := s.put(f)
	if err != nil {
		t.Fatal(err)
	}
	mounted, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer mounted.Close()
	sameAsOwn(t, mounted, own)
}

// Clearing a stage takes mounts away and never what is in them, also when the directory under
// a mount is gone, and when there is nothing.
func TestStageClears(t *testing.T) {
	base := t.TempDir()
	source := filepath.Join(base, "source")
	if err := os.MkdirAll(filepath.Join(source, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &stage{dir: filepath.Join(base, "stage")}
	for _, path := range []string{".", "file", "sub", "."} {
		f, err := openSource(place{dir: source, path: path}, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.put(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	for range 2 {
		if err := s.clear(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stage is still there: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(source, "file")); err != nil || string(b) != "x" {
		t.Errorf("the source has %q, %v", b, err)
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(b), base) {
		t.Errorf("a mount is left: %v", err)
	}
}

// A task gives its user as a name or as a plain number; what another program might read as
// root is refused.
func TestCheckUser(t *testing.T) {
	for user, ok := range map[string]bool{
		"": true, "root": true, "0": true, "1000:1000": true, "www-data": true, "app:staff": true, "2147483647": true, "_x.y$": true,
		"-1": false, " 0": false, "0 ": false, "0x0": false, "00": false, "+0": false, "4294967296": false, "4294967295": false, "2147483648": false,
		"1e3": false, "0:": false, ":0": false, "1:2:3": false, "-u": false, "a b": false, "a\n": false, "../etc": false, "1000:-1": false, "$(id)": false,
		"root;": false, "\x00": false,
	} {
		if err := checkUser(user); (err == nil) != ok {
			t.Errorf("%q: %v, want accepted: %v", user, err, ok)
		}
	}
}

// Of a filter in Docker's form, the rules count that hold for the machine and the task.
func TestProfile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "filter.json")
	text := `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
		"syscalls":[
			{"names":["read"],"action":"SCMP_ACT_ALLOW"},
			{"name":"write","action":"SCMP_ACT_ALLOW"},
			{"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
			{"names":["clone"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}},
			{"names":["arm"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["nothing"]}},
			{"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := readProfile(drivers.TaskDir{Task: dir}, "filter.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		caps   []string
		kernel string
		want   string
	}{
		{nil, "5.10.0-1", "read write clone ptrace"},
		{nil, "4.4", "read write clone"},
		{[]string{"CAP_SYS_ADMIN"}, "4.8", "read write mount ptrace"},
	} {
		var names []string
		for _, s := range p.filter(tt.caps, tt.kernel).Syscalls {
			names = append(names, s.Names...)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("for %v on %s: %s, want %s", tt.caps, tt.kernel, got, tt.want)
		}
	}
	for name, text := range map[string]string{"secret": "root:x:0", "empty": "{}", "large": `{"defaultAction":"` + strings.Repeat("x", maxProfile) + `"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readProfile(drivers.TaskDir{Task: dir}, "filter.json"); err == nil || strings.Contains(err.Error(), "root:x") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
