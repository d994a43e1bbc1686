//go:build linux

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// typed are the lines that a document tells its reader to type.
var typed = regexp.MustCompile("(?s)```sh\n(.*?)```")

// script returns all lines that a document tells its reader to type.
func script(t *testing.T, document string) string {
	t.Helper()
	root, err := machine.Root()
	must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", document))
	must(t, err)
	var script strings.Builder
	for _, block := range typed.FindAllStringSubmatch(string(text), -1) {
		script.WriteString(block[1])
	}
	if strings.Count(script.String(), "\nnomadish ") < 15 {
		t.Fatalf("%s has hardly a command:\n%s", document, script.String())
	}
	return script.String()
}

// built is a directory that has of a clone what the documents use, with the program built.
func built(t *testing.T) string {
	t.Helper()
	clone := t.TempDir()
	root, err := machine.Root()
	must(t, err)
	binary, err := machine.Binary()
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(clone, "bin", "run"), 0o755))
	must(t, os.Symlink(binary, filepath.Join(clone, "bin", "nomadish")))
	must(t, os.Symlink(filepath.Join(root, "examples"), filepath.Join(clone, "examples")))
	return clone
}

// typeIn types lines into a shell and returns what is then on the screen. A line that fails ends
// the test.
func typeIn(t *testing.T, n *machine.Node, dir, lines string) string {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), "bash", "-eux", "-o", "pipefail", "-c", lines)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NOMAD_ADDR=http://"+n.Addr)
	screen, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nagent: %s", err, screen, n.LogTail(4096))
	}
	return string(screen)
}

// Every line of the tour works as it stands, in the order of the document, and leaves nothing.
func TestTour(t *testing.T) {
	// What make run leaves behind: the program, the image, and the job hello.
	clone := built(t)
	run := filepath.Join(clone, "bin", "run")
	program, err := machine.Build(testContext(t), clone, "./examples/web")
	must(t, err)
	archive, err := machine.Image(testContext(t), run, "nomadish.dev/hello:1", program)
	must(t, err)
	must(t, os.Rename(archive, filepath.Join(run, "hello.tar")))
	n := newNode(t, machine.Config{Archives: run, Agent: map[string]any{"enable_debug": true}}) // as with -dev

	screen := typeIn(t, n, clone,
		"bin/nomadish job run -var archive=$PWD/bin/run/hello.tar examples/hello.nomad.hcl\n"+script(t, "tour.md"))
	if !strings.Contains(screen, "Hello from pair") {
		t.Errorf("the shell did not reach the server beside it:\n%s", screen)
	}
}

// Every line of the tour of access control works as it stands, and shows what the document says
// it shows. Only the ports are the test's own.
func TestTourOfAccess(t *testing.T) {
	clone := built(t)
	dir := filepath.Join(clone, "bin", "access") // what the document makes
	n, err := machine.New(machine.Config{Dir: dir})
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	_, port, _ := strings.Cut(n.Addr, ":")
	lines := strings.NewReplacer(
		"127.0.0.1:"+strconv.Itoa(defaultPort), "127.0.0.1:"+port,
		"-config agent.hcl", "-config agent.hcl -config agent.json", // the node's, which says where to listen
		"rm -r bin/access", "mv bin/access/agent.log .", // the test removes it, and may want to see the log
	).Replace(script(t, "tour-access.md"))

	screen := typeIn(t, n, clone, "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n"+lines)
	rest := screen
	for _, said := range []string{
		"Bootstrap Token", "eligible", "Permission denied", "auth can-i", "no: ", "yes: ", "no: ",
		"developers", "Bootstrap Token", // who can
		"team/db", "app\n", "exists already", "only one at a time, number ",
		"green", "Permission denied", "running", "app2", "Permission denied",
		"deprecated", "app2", "token ann", "The chain is whole", "the chain is broken", "line 7:",
		"NOMAD_CACERT", "eligible",
	} {
		before, after, ok := strings.Cut(rest, said)
		if !ok {
			t.Fatalf("%q is not said after %q:\n%s", said, before[:min(len(before), 200)], screen)
		}
		rest = after
	}
}

// Every line of the tour of two regions works as it stands, and shows what the document says that it
// shows. Only the ports are the test's own.
func TestTourOfRegions(t *testing.T) {
	clone := built(t)
	dir := filepath.Join(clone, "bin", "regions")
	var ports []string
	for _, documented := range []string{"4646", "4647", "4648", "5646", "5647", "5648"} {
		ports = append(ports, documented, strconv.Itoa(freePort(t)))
	}
	lines := strings.NewReplacer(append(ports, "rm -r bin/regions", "mv bin/regions/*.log .")...).Replace(script(t, "regions.md"))
	cmd := exec.CommandContext(testContext(t), "bash", "-eux", "-o", "pipefail", "-c", "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n"+lines)
	cmd.Dir, cmd.Env = clone, append(os.Environ(), "NOMAD_ADDR=http://127.0.0.1:"+ports[1])
	out, err := cmd.CombinedOutput()
	screen := string(out)
	if err != nil {
		for _, name := range []string{"us.log", "eu.log"} {
			log, _ := os.ReadFile(filepath.Join(dir, name)) // it may not be there yet
			t.Logf("%s: %s", name, log[max(0, len(log)-4096):])
		}
		t.Fatalf("%v\n%s", err, screen)
	}
	rest := screen
	for _, said := range []string{
		"ready", "eu ", "us ", "eu1.eu", "us1.us", `Region "eu" replicates from region "us"`, "acl-tokens",
		"of all regions", "of all regions", "hello from eu", "a command in eu", "Permission denied",
		"no path to region us", "no path to region us", "after all",
	} {
		before, after, ok := strings.Cut(rest, said)
		if !ok {
			t.Fatalf("%q is not said after %q:\n%s", said, before[:min(len(before), 200)], screen)
		}
		rest = after
	}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// defaultPort is that of the API, which the documents use.
const defaultPort = 4646
