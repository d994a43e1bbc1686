package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// fed runs a command with standard input.
func (c *cluster) fed(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return runs(t, stdin, c.env, args...)
}

// items reads a variable.
func (c *cluster) items(t *testing.T, path string) map[string]string {
	t.Helper()
	var v nomadish.Variable
	if err := json.Unmarshal([]byte(c.ok(t, "var", "get", path)), &v); err != nil {
		t.Fatal(err)
	}
	return v.Items
}

// Variables from specifications, files, standard input and arguments; and what becomes of
// writes that come too late.
func TestVar(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "pw.txt")
	if err := os.WriteFile(secret, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"spec.nv.hcl", "spec.nv.json"} {
		spec := filepath.Join(dir, name)
		c.ok(t, "var", "init", "-out", strings.TrimPrefix(filepath.Ext(name), "."), spec)
		path := "made/" + strings.TrimPrefix(filepath.Ext(name), ".")
		c.ok(t, "var", "put", path, "@"+spec, "user=me", "pw=@"+secret, `odd=\@x`, "eq=a=b", "empty=")
		want := map[string]string{"user": "me", "password": "change me", "pw": "from file\n", "odd": "@x", "eq": "a=b", "empty": ""}
		if diff := cmp.Diff(want, c.items(t, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}

	odd := map[string]string{"with \"quotes\"": "${a} $${b} %{c} \\ \u00fc \x01\n\ttab", "b": "${\"x\"}"}
	spec, err := json.Marshal(map[string]any{"Path": "odd", "Items": odd})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.fed(t, string(spec), "var", "put", "-"); got.code != ExitOK {
		t.Fatalf("put from standard input: %+v", got)
	}
	for _, format := range []string{"hcl", "json"} { // what comes out goes in again, at its index
		text := c.ok(t, "var", "get", "-out", format, "odd")
		if got := c.fed(t, text, "var", "put", "-in", format, "-out", "none", "-"); got.code != ExitOK {
			t.Fatalf("put %s back: %+v\n%s", format, got, text)
		}
		if diff := cmp.Diff(odd, c.items(t, "odd")); diff != "" {
			t.Errorf("as %s (-want +got):\n%s", format, diff)
		}
		if got := c.fed(t, text, "var", "put", "-in", format, "-"); got.code != ExitFailed || !strings.Contains(got.stderr, "has changed") {
			t.Errorf("put it back twice: %+v", got)
		}
	}

	c.ok(t, "var", "put", "a/b", "k=v1")
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"exists", []string{"put", "a/b", "k=v2"}, ExitFailed, "", "exists already"},
		{"check", []string{"put", "-check-index", "1", "a/b", "k=v2"}, ExitFailed, "", "-force"},
		{"missing", []string{"put", "-check-index", "9", "none", "k=v2"}, ExitFailed, "", "does not exist"},
		{"force", []string{"put", "-force", "a/b", "k=v3"}, ExitOK, `"k": "v3"`, ""},
		{"force and check", []string{"put", "-force", "-check-index", "1", "a/b", "k=v"}, ExitUsage, "", "exclude each other"},
		{"no items", []string{"put", "c"}, ExitFailed, "", "missing required Items"},
		{"no pair", []string{"put", "c", "k=v", "secretvalue"}, ExitUsage, "", "argument at place 2"},
		{"bad path", []string{"put", "a.b", "k=v"}, ExitFailed, "", "only letters, digits"},
		{"item", []string{"get", "-item", "k", "a/b"}, ExitOK, "v3", ""},
		{"no item", []string{"get", "-item", "kk", "a/b"}, ExitFailed, "", "did you mean k?"},
		{"table", []string{"get", "-out", "table", "a/b"}, ExitOK, "Items\nk = v3\n", ""},
		{"template", []string{"get", "-out", "go-template", "-template", "{{.Items.k}} of {{.Path}}", "a/b"}, ExitOK, "v3 of a/b\n", ""},
		{"short template", []string{"get", "-t", "{{.Items.k}}", "a/b"}, ExitOK, "v3\n", ""},
		{"template without", []string{"get", "-out", "go-template", "a/b"}, ExitUsage, "", "needs a -template"},
		{"no such format", []string{"get", "-out", "yaml", "a/b"}, ExitUsage, "", "hcl"},
		{"none", []string{"get", "-out", "none", "a/b"}, ExitOK, "", ""},
		{"not there", []string{"get", "nope"}, ExitFailed, "", `no variable "nope"`},
		{"list", []string{"list", "-out", "terse", "a"}, ExitOK, "a/b\n", ""},
		{"page", []string{"list", "-out", "terse", "-per-page", "1"}, ExitOK, "a/b\n", "Next page token: default.made/hcl"},
		{"next page", []string{"list", "-out", "terse", "-page-token", "default.odd"}, ExitOK, "odd\n", ""},
		{"filter", []string{"list", "-out", "terse", "-filter", `Path contains "json"`}, ExitOK, "made/json\n", ""},
		{"list table", []string{"list", "-out", "table", "a"}, ExitOK, "default    a/b", ""},
		{"purge checked", []string{"purge", "-check-index", "1", "a/b"}, ExitFailed, "", "has changed"},
		{"purge", []string{"purge", "a/b"}, ExitOK, "", ""},
		{"purged", []string{"get", "a/b"}, ExitFailed, "", "no variable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := c.run(t, append([]string{"var"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got %+v, want %d, %q, %q", got, tt.code, tt.stdout, tt.stderr)
			}
			if strings.Contains(got.stderr, "v1") || strings.Contains(got.stderr, "v3") || strings.Contains(got.stderr, "secretvalue") {
				t.Errorf("a message shows a value: %s", got.stderr)
			}
		})
	}
}

// A command runs while its lock is held; its fence rises, its exit code is passed on, and the
// lock is free afterwards.
func TestVarLock(t *testing.T) {
	c := newCluster(t)
	first := c.ok(t, "var", "lock", "-ttl", "20s", "leader", "echo fence $NOMADISH_LOCK_FENCE of $NOMADISH_LOCK_NAMESPACE/$NOMADISH_LOCK_PATH")
	second := c.ok(t, "var", "lock", "-shell=false", "leader", "/bin/sh", "-c", "echo fence $NOMADISH_LOCK_FENCE of it")
	var fences [2]uint64
	for i, text := range []string{first, second} {
		words := strings.Fields(text)
		if len(words) < 4 || words[0] != "fence" {
			t.Fatalf("the command wrote %q", text)
		}
		if err := json.Unmarshal([]byte(words[1]), &fences[i]); err != nil {
			t.Fatal(err)
		}
	}
	if fences[0] == 0 || fences[1] <= fences[0] || !strings.HasSuffix(first, "of default/leader\n") {
		t.Errorf("the commands wrote %q and then %q", first, second)
	}
	if got := c.run(t, "var", "lock", "leader", "exit 7"); got.code != 7 {
		t.Errorf("a command that exits with 7: %+v", got)
	}
	if got := c.run(t, "var", "lock", "-shell=false", "leader", "/no/such/program"); got.code != ExitFailed || !strings.Contains(got.stderr, "/no/such/program") {
		t.Errorf("no program: %+v", got)
	}
	if got := c.run(t, "var", "lock", "leader"); got.code != ExitUsage {
		t.Errorf("no command: %+v", got)
	}
	if got := c.run(t, "var", "lock", "-ttl", "1s", "leader", "true"); got.code != ExitFailed || !strings.Contains(got.stderr, "Lock.TTL") {
		t.Errorf("a lock of a second: %+v", got)
	}
	if text := c.ok(t, "var", "get", "leader"); strings.Contains(text, "Lock") {
		t.Errorf("the lock is still held:\n%s", text)
	}
}

// Two commands that want the same lock run one after the other.
func TestVarLockExcludes(t *testing.T) {
	c := newCluster(t)
	file := filepath.Join(t.TempDir(), "order")
	ended := make(chan result, 4)
	for range cap(ended) {
		go func() {
			ended <- c.run(t, "var", "lock", "one", "echo in >> "+file+"; sleep 0.05; echo out >> "+file)
		}()
	}
	for range cap(ended) {
		if got := <-ended; got.code != ExitOK {
			t.Errorf("got %+v", got)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("in\nout\n", cap(ended)); string(text) != want {
		t.Errorf("the commands ran in each other's time:\n%s", text)
	}
}
