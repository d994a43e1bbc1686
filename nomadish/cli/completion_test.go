package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestComplete: what may follow a command line, without a server: words of commands, flags,
// files, and nothing where a server would have to be asked.
func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		line string // words, the last one to be completed
		want string // part of the lines
		not  string
	}{
		{"", "job\n", "__complete"},
		{"jo", "job\n", "node"},
		{"job ", "status\n", ""},
		{"job st", "status\nstop\n", "run"},
		{"job status -", "-json\n", ""},
		{"job status --js", "--json\n", ""},
		{"job status -namespace x -ev", "-evals\n", ""},
		{"job run ", ":files\n", ""},
		{"run -var-file ", ":files\n", ""},
		{"job run x.hcl ", "", ":files"},
		{"completion ", "bash\nzsh\nfish\n", ""},
		{"explain -driver=do", "-driver=docker\n", ""},
		{"job status -- -", "", "-json"},
		{"nothing ", "", "job"},
	} {
		var words []string
		for w := range strings.SplitSeq(tt.line, " ") {
			words = append(words, w)
		}
		var out strings.Builder
		code := Run(t.Context(), Program{Stdout: &out, Stderr: &out, Env: lookup([]string{"NOMAD_ADDR=http://127.0.0.1:1"}), Schemas: testSchemas}, append([]string{"__complete"}, words...))
		if got := out.String(); code != ExitOK || !strings.Contains(got, tt.want) || tt.not != "" && strings.Contains(got, tt.not) {
			t.Errorf("%q: code %d, got %q, want %q and not %q", tt.line, code, got, tt.want, tt.not)
		}
	}
}

// testLiveNames: names come from the server; IDs only where one has been begun.
func testLiveNames(t *testing.T, c *cluster) {
	id := strings.TrimSpace(c.ok(t, "alloc", "status", "-t", "{{.ID}}", "up"))
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"job", "status", "up"}, "up\n"},
		{[]string{"alloc", "status", "up"}, "up.g[0]\n"},
		{[]string{"alloc", "logs", id[:5]}, id + "\n"},
		{[]string{"node", "status", "n"}, "n1\n"},
		{[]string{"job", "status", "-namespace", "d"}, "default\n"},
	} {
		if got := c.ok(t, append([]string{"__complete"}, tt.words...)...); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.words, got, tt.want)
		}
	}
	if got := c.ok(t, "__complete", "alloc", "status", ""); slices.ContainsFunc(strings.Fields(got), isIDPrefix) {
		t.Errorf("IDs are offered:\n%s", got)
	}
}

// TestBashCompletion: bash, with the script that completion prints, completes words, flags behind
// =, and files.
func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	dir := t.TempDir()
	program := "#!/bin/sh\nshift\necho \"$*\" >> " + dir + "/asked\ncase \"$*\" in\n*job\\ st) echo status; echo stop;;\n*=do) echo -driver=docker;;\n*'up.g[') echo 'up.g[0]';;\n*) echo :files;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "nomadish"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "web.hcl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line  string
		words []string // as bash splits the line
		want  string
	}{
		{"nomadish job st", []string{"nomadish", "job", "st"}, "status stop"},
		{"nomadish explain -driver=do", []string{"nomadish", "explain", "-driver", "=", "do"}, "docker"},
		{"nomadish alloc status up.g[", []string{"nomadish", "alloc", "status", "up.g["}, "up.g[0]"},
		{"nomadish run we", []string{"nomadish", "run", "we"}, "web.hcl"},
	} {
		script := completionBash + `
COMP_LINE="$1"; COMP_POINT=${#1}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1))
_nomadish
printf '%s' "${COMPREPLY[*]}"`
		cmd := exec.CommandContext(t.Context(), bash, append([]string{"-c", script, "bash", tt.line}, tt.words...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.line, out, err, tt.want)
		}
	}
}
