// Package probe tries, from inside a task, what a task should not be able to do, and compares
// what came of it with a list that is checked in: one for each driver. The list says what the
// driver's isolation is; a change of it is a change of the list.
//
//	err := probe.Build(path)           // a program without libraries, to run as the task
//	probe.Compare(t, output, "testdata/probes.txt")
package probe

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// program is the one that makes the attempts.
const program = "github.com/nomadish/nomadish/drivers/drivertest/probe/testdata/probe"

// least is how many attempts there are at least: fewer mean that the program ended early.
const least = 60

// Build builds the program. It prints a line for each attempt, whatever its arguments are.
func Build(path string) error {
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the probes: %w\n%s", err, b)
	}
	return nil
}

// Compare fails the test unless the program's output is the list in a file. Lines of the list
// that begin with # are about those below them.
func Compare(t testing.TB, output, file string) {
	t.Helper()
	list, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, want := lines(output), lines(string(list))
	if len(got) < least {
		t.Errorf("%d probes were made, want at least %d", len(got), least)
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("got  %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("want %s", l)
		}
	}
	if t.Failed() {
		t.Logf("all that was found:\n%s", output)
	}
}

func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
