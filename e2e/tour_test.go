//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// typed are the lines that a document tells its reader to type.
var typed = regexp.MustCompile("(?s)```sh\n(.*?)```")

// Every line of the tour works as it stands, in the order of the document, and leaves nothing.
func TestTour(t *testing.T) {
	root, err := machine.Root()
	must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "tour.md"))
	must(t, err)
	var script strings.Builder
	for _, block := range typed.FindAllStringSubmatch(string(text), -1) {
		script.WriteString(block[1])
	}
	if strings.Count(script.String(), "\nnomadish ") < 15 {
		t.Fatalf("the tour has hardly a command:\n%s", script.String())
	}

	// What make run leaves behind: the program, the image, and the job hello.
	clone := t.TempDir()
	run := filepath.Join(clone, "bin", "run")
	must(t, os.MkdirAll(run, 0o755))
	binary, err := machine.Binary()
	must(t, err)
	must(t, os.Symlink(binary, filepath.Join(clone, "bin", "nomadish")))
	must(t, os.Symlink(filepath.Join(root, "examples"), filepath.Join(clone, "examples")))
	program, err := machine.Build(testContext(t), clone, "./examples/web")
	must(t, err)
	archive, err := machine.Image(testContext(t), run, "nomadish.dev/hello:1", program)
	must(t, err)
	must(t, os.Rename(archive, filepath.Join(run, "hello.tar")))
	n := newNode(t, machine.Config{Archives: run, Agent: map[string]any{"enable_debug": true}}) // as with -dev

	cmd := exec.CommandContext(testContext(t), "bash", "-eux", "-o", "pipefail", "-c",
		"bin/nomadish job run -var archive=$PWD/bin/run/hello.tar examples/hello.nomad.hcl\n"+script.String())
	cmd.Dir = clone
	cmd.Env = append(os.Environ(), "NOMAD_ADDR=http://"+n.Addr)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nagent: %s", err, output, n.LogTail(4096))
	}
	if !strings.Contains(string(output), "Hello from pair") {
		t.Errorf("the shell did not reach the server beside it:\n%s", output)
	}
}
