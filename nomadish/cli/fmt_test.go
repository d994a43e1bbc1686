package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	untidy = "job \"a\" {\n  type=\"batch\"\n}\n"
	tidy   = "job \"a\" {\n  type = \"batch\"\n}\n"
)

// TestFmt: which files each flag lists, changes, and makes the command fail.
func TestFmt(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		code    int
		stdout  string
		changed []string
	}{
		{name: "directory", stdout: "a.hcl\nc.nomad\n", changed: []string{"a.hcl", "c.nomad"}},
		{name: "recursive", args: []string{"-recursive"}, stdout: "a.hcl\nc.nomad\nsub/d.nomad.hcl\n", changed: []string{"a.hcl", "c.nomad", "sub/d.nomad.hcl"}},
		{name: "one file", args: []string{"a.hcl"}, stdout: "a.hcl\n", changed: []string{"a.hcl"}},
		{name: "no list", args: []string{"-list=false"}, changed: []string{"a.hcl", "c.nomad"}},
		{name: "check", args: []string{"-check"}, code: ExitFailed, stdout: "a.hcl\nc.nomad\n"},
		{name: "check a tidy file", args: []string{"-check", "b.hcl"}},
		{name: "to standard output", args: []string{"-write=false", "-list=false", "a.hcl"}, stdout: tidy},
		{name: "no such file", args: []string{"z.hcl", "a.hcl"}, code: ExitFailed, stdout: "a.hcl\n", changed: []string{"a.hcl"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			files := map[string]string{"a.hcl": untidy, "b.hcl": tidy, "c.nomad": untidy, "e.txt": untidy, "sub/d.nomad.hcl": untidy}
			for name, text := range files {
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			got := runs(t, "", nil, append([]string{"fmt"}, tt.args...)...)
			if got.code != tt.code || got.stdout != tt.stdout {
				t.Errorf("got code %d, %q, want %d, %q (%s)", got.code, got.stdout, tt.code, tt.stdout, got.stderr)
			}
			for _, name := range tt.changed {
				files[name] = tidy
			}
			checkFiles(t, files)
		})
	}
}

func checkFiles(t *testing.T, want map[string]string) {
	t.Helper()
	for name, text := range want {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("%s: got %q, want %q", name, got, text)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o640 {
			t.Errorf("%s: its mode has become %s", name, info.Mode())
		}
	}
}

// TestFmtStandardInput: text comes back laid out, and a syntax error with its place.
func TestFmtStandardInput(t *testing.T) {
	if got := runs(t, untidy, nil, "fmt", "-"); got.code != ExitOK || got.stdout != tidy {
		t.Errorf("got %+v", got)
	}
	if got := runs(t, untidy, nil, "fmt", "-check", "-"); got.code != ExitFailed || got.stdout != "" {
		t.Errorf("-check: got %+v", got)
	}
	got := runs(t, "job \"a\" {\n  type = \n}\n", nil, "fmt", "-")
	if got.code != ExitFailed || got.stdout != "" || !strings.Contains(got.stderr, "stdin line 2, column ") {
		t.Errorf("a syntax error: got %+v", got)
	}
}
