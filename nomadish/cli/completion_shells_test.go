package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// actsAs is set where this test's program is to be nomadish itself, as the shells' scripts call it.
const actsAs = "NOMADISH_TEST_COMPLETES"

// TestMain lets the shells of the tests call the program.
func TestMain(m *testing.M) {
	if os.Getenv(actsAs) != "" {
		os.Exit(Run(context.Background(), Program{Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv, Environ: os.Environ(), Schemas: testSchemas}, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// pressTab are programs of the shells that press TAB behind what is typed, and print what is
// there then, or what is offered. In zsh that takes a shell on a terminal.
var pressTab = map[string]string{
	"zsh": `
zmodload zsh/zpty
zpty shell "zsh -f -i"
await() { local got all; while zpty -r shell got; do all+=$got; [[ $all == *$1* ]] && break; done; print -r -- "$all" }
zpty -w shell "PROMPT=; autoload -Uz compinit; compinit -D -u; source $SCRIPT; print READ''Y"
await READY > /dev/null
zpty -w shell 'show() { BUFFER="print -r -- ${(qq)BUFFER} EN""D"; zle accept-line }; zle -N show; bindkey "^T" show; print SE""T'
await SET > /dev/null
zpty -w -n shell "$LINE"$'\t\C-t'
await END
`,
	"fish": `source $SCRIPT; complete -C "$LINE"`,
}

// testShells: real shells, with the scripts that completion prints, complete words of commands
// and the names of jobs that live.
func testShells(t *testing.T, c *cluster) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "nomadish")); err != nil {
		t.Fatal(err)
	}
	for shell, script := range map[string]string{"zsh": completionZsh, "fish": completionFish} {
		program, err := exec.LookPath(shell)
		if err != nil {
			t.Skipf("%v: packaging/deps.sh installs it", err)
		}
		path := filepath.Join(dir, "completion."+shell)
		if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		for line, want := range map[string]string{
			"nomadish job sta":           "status ",
			"nomadish job status cras":   "crash ",
			"nomadish alloc status up.g": "up.g[0] ",
			"nomadish completion f":      "fish ",
		} {
			if shell == "fish" {
				want = strings.TrimSpace(want) // it lists the words, to be chosen from
			}
			cmd := exec.CommandContext(t.Context(), program, "-c", pressTab[shell])
			cmd.Env = slices.Concat(os.Environ(), c.env, []string{
				actsAs + "=1", "LINE=" + line, "SCRIPT=" + path, "PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb",
			})
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(strings.ReplaceAll(string(out), `\`, ""), want) {
				t.Errorf("%s: %s: got %q, %v; want %q", shell, line, out, err, want)
			}
		}
	}
}
