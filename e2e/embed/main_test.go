package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// build builds the embedding program.
func build(t *testing.T, env ...string) string {
	t.Helper()
	bin := filepath.Join(dataDir(t), "embed")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", bin, ".")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// A program of at most 25 lines runs a server, a client node and a job in one process, and
// is at most 30 MB large.
func TestEmbeddingIsShortAndSmall(t *testing.T) {
	src, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(src, []byte("\n")); n > 25 {
		t.Errorf("the program has %d lines, want at most 25", n)
	}
	bin := build(t, "CGO_ENABLED=0")
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	if mb := info.Size() >> 20; mb > 30 {
		t.Errorf("the program has %d MiB, want at most 30", mb)
	}
	t.Logf("%d bytes", info.Size())
	cmd := exec.CommandContext(t.Context(), bin, dataDir(t))
	if os.Getuid() == 0 { // it needs no privileges: run it without
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "hello from greeter") {
		t.Errorf("the program ends with %v and says %q", err, out)
	}
}

const nobody = 65534

// dataDir is a directory that an ordinary user may write to, below one that he may enter.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "embed")
	if err == nil && os.Getuid() == 0 {
		err = os.Chown(dir, nobody, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// The library links neither the container runtime nor what later parts bring for users of
// the whole program.
func TestEmbeddingLinksNoRuntime(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.Lines(string(out)) {
		for _, no := range []string{"containerd/containerd", "containerd/ttrpc", "opencontainers/runc", "consul-template", "go-discover", "aws-sdk-go", "nomadish/ui", "nomadish/drivers/runtime", "nomadish/drivers/container", "nomadish/drivers/docker"} {
			if strings.Contains(pkg, no) {
				t.Errorf("the program links %s", strings.TrimSpace(pkg))
			}
		}
	}
}

// The server half builds for other systems without a C compiler.
func TestServerBuildsElsewhere(t *testing.T) {
	for _, system := range []string{"darwin", "windows"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "./server/...", "./nomadish/api")
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", system, err, out)
		}
	}
}
