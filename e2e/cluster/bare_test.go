//go:build linux && faults

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
)

// boot is what the first process of a bare machine does: the machine has its own processes, and its own /run,
// /var/lib and configuration, on disks of its own. All of it ends with that process.
const boot = `
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=0755 run /run
mount -t tmpfs -o mode=0755 var /var/lib
mount -t tmpfs -o mode=0755 etc /etc/nomadish.d
mkdir -p /var/lib/home
echo up
trap : TERM INT
while :; do sleep 1000000 & wait $! || :; done
`

// addBare adds a machine on which nothing runs, for somebody who types commands. It returns the process that
// is all of the machine.
func addBare(t *testing.T, l *Lab, name string) (pid int) {
	t.Helper()
	ns, err := newNamespace()
	must(t, err)
	m := &Machine{lab: l, cfg: Config{Name: name}, ns: ns, addr: address(firstAddress + len(l.machines))}
	l.machines = append(l.machines, m)
	must(t, l.plug(m))
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/bin/bash", "-c", boot)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	cmd.Stderr = os.Stderr
	up, err := cmd.StdoutPipe()
	must(t, err)
	must(t, ns.spawn(cmd, name))
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it all that runs there
		_ = cmd.Wait()
	})
	word := make([]byte, len("up\n"))
	if _, err := up.Read(word); err != nil || string(word) != "up\n" {
		t.Fatalf("machine %s does not come up: %q, %v", name, word, err)
	}
	return cmd.Process.Pid
}

// desk is where somebody sits who can type on all machines and pull their cables: the shell functions that the
// tour uses.
const desk = `
declare -A pid=(%s)
on()     { local m=$1; shift; nsenter -t ${pid[$m]} -n -u -m -p -- env HOME=/var/lib/home NO_COLOR=1 "$@"; }
agent()  { local m=$1; shift; on $m "$@" >>$LAB/$m.log 2>&1 & }
off()    { on $1 pkill -KILL -f '^nomadish (init|join|agent)'; }
unplug() { nsenter --net=/proc/%d/fd/%d ip link set $1 down; }
plug()   { nsenter --net=/proc/%d/fd/%d ip link set $1 up; }
soon()   { local out end=$((SECONDS + 60)); until out=$("$@" 2>&1); do ((SECONDS < end)) || { echo "never: $*: $out"; return 1; }; sleep 0.2; done; [[ -z $out ]] || echo "$out"; }
part()   { echo "### $(date +%%H:%%M:%%S) $*"; }
`

// bareMachines is how many machines the tour has.
const bareMachines = 7

// Every line of the tour of three machines works as it stands, and shows what the document says that it shows.
func TestTourOfThreeMachines(t *testing.T) {
	lab, err := New(t.TempDir())
	must(t, err)
	if err := os.Mkdir("/etc/nomadish.d", 0o755); err == nil { // where the machines have theirs
		t.Cleanup(func() { _ = os.Remove("/etc/nomadish.d") })
	} else if !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	var pids strings.Builder
	for n := range bareMachines {
		name := fmt.Sprintf("m%d", n+1)
		fmt.Fprintf(&pids, "[%s]=%d ", name, addBare(t, lab, name))
	}
	binary, err := machine.Binary()
	must(t, err)
	programs := t.TempDir()
	must(t, os.Symlink(binary, filepath.Join(programs, "nomadish")))
	root, err := machine.Root()
	must(t, err)
	document := filepath.Join(root, "docs", "tour-cluster.md")
	if other := os.Getenv("NOMADISH_TOUR"); other != "" {
		document = other
	}
	text, err := os.ReadFile(document)
	must(t, err)
	fd := int(lab.ns.handle)
	lines := fmt.Sprintf(desk, pids.String(), os.Getpid(), fd, os.Getpid(), fd) + script(string(text))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", lines)
	cmd.Dir = lab.dir
	cmd.Env = append(os.Environ(), "LAB="+lab.dir, "EXAMPLES="+filepath.Join(root, "examples"), "PATH="+programs+":"+os.Getenv("PATH"))
	screen, err := cmd.CombinedOutput()
	t.Logf("%s", screen)
	if err != nil {
		for n := range bareMachines {
			log, _ := os.ReadFile(filepath.Join(lab.dir, fmt.Sprintf("m%d.log", n+1))) // it may have none
			t.Logf("m%d: %s", n+1, log[max(0, len(log)-1500):])
		}
		t.Fatal(err)
	}
}

// script returns the lines that a document tells its reader to type, each shown before it is carried out, and
// each part with the time at which it begins.
func script(document string) string {
	var lines strings.Builder
	typing := false
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## "):
			fmt.Fprintf(&lines, "part %s\n", quoted(line[3:]))
		case strings.HasPrefix(line, "```"):
			typing = strings.HasPrefix(line, "```sh")
		case typing:
			fmt.Fprintf(&lines, "echo %s\n%s\n", quoted("$ "+line), line)
		}
	}
	return lines.String()
}

// quoted is a text as one word of the shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
