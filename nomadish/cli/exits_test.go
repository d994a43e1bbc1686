package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests compare with")

// TestExitCodesAreDocumented: docs/exit-codes.md says for every command what its help says.
func TestExitCodesAreDocumented(t *testing.T) {
	const path = "../../docs/exit-codes.md"
	want := exitCodesPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the commands say: go test ./nomadish/cli -run %s -update", path, t.Name())
	}
}

// exitCodesPage lists the exit codes of all commands, those of most of them once.
func exitCodesPage() string {
	var usual []string
	var b strings.Builder
	for _, cmd := range commands() {
		switch {
		case cmd.hidden:
		case cmd.exits == "":
			usual = append(usual, "`"+cmd.words+"`")
		default:
			fmt.Fprintf(&b, "\n## %s\n\n%s", cmd.words, exitTable(cmd.exits))
		}
	}
	return fmt.Sprintf(`# Exit codes

Each command says in its -help how it can end; this page is made of that.

## Most commands

%s
These: %s.
%s`, exitTable(usualExits), strings.Join(usual, ", "), b.String())
}

// exitTable makes a table of lines that begin with a code; other lines go on with the one before.
func exitTable(text string) string {
	var b strings.Builder
	b.WriteString("| code | meaning |\n| --- | ---")
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimSpace(line), "|", "\\|")
		code, meaning, _ := strings.Cut(line, " ")
		if strings.Trim(code, "0123456789") != "" {
			b.WriteString(" " + line)
			continue
		}
		fmt.Fprintf(&b, " |\n| %s | %s", code, strings.TrimSpace(meaning))
	}
	return b.String() + " |\n"
}
