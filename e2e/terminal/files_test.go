//go:build linux

package terminal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files and directories go into tasks and come back as they were: names with spaces, modes,
// 50 MB; and what a task answers writes nothing outside of the place that was asked for.
func TestCopy(t *testing.T) {
	here := t.TempDir()
	write(t, filepath.Join(here, "a dir", "with space", "file one"), "1", 0o640)
	write(t, filepath.Join(here, "a dir", "run.sh"), "#!/bin/sh\necho ran\n", 0o755)
	write(t, filepath.Join(here, "a dir", "secret"), "s", 0o600)
	big := filepath.Join(here, "big")
	write(t, big, string(noise(50<<20)), 0o644)
	for _, job := range drivers {
		for _, place := range []string{"/local", "/tmp/nomadish-terminal-" + job, "/alloc/data"} {
			t.Run(job+" "+place, func(t *testing.T) {
				ok(t, ask, "exec", job, "mkdir", "-p", "/tmp/nomadish-terminal-"+job)
				defer ok(t, ask, "exec", job, "rm", "-r", "/tmp/nomadish-terminal-"+job)
				ok(t, ask, "cp", filepath.Join(here, "a dir"), job+":"+place+"/")
				back := t.TempDir()
				ok(t, ask, "cp", job+":"+place+"/a dir", back)
				same(t, filepath.Join(here, "a dir"), filepath.Join(back, "a dir"))
			})
		}
		t.Run(job+" 50 MB", func(t *testing.T) {
			ok(t, ask, "cp", big, job+":/local/big file")
			ok(t, ask, "cp", job+":/local/big file", filepath.Join(here, job))
			a, b := sum(t, big), sum(t, filepath.Join(here, job))
			if a != b {
				t.Error("it comes back as another file")
			}
		})
	}
}

// noise is bytes that don't compress.
func noise(size int) []byte {
	out := make([]byte, 0, size+sha256.Size)
	for block := sha256.Sum256(nil); len(out) < size; block = sha256.Sum256(block[:]) {
		out = append(out, block[:]...)
	}
	return out[:size]
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)))
}

func sum(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// same compares two directories: names, contents and modes.
func same(t *testing.T, want, got string) {
	t.Helper()
	if a, b := listing(t, want), listing(t, got); a != b {
		t.Errorf("got\n%s\nwant\n%s", b, a)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var out bytes.Buffer
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		fmt.Fprintln(&out, info.Mode(), strings.TrimPrefix(path, dir), sum(t, path))
		return nil
	}))
	return out.String()
}
