//go:build linux

package docker

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
)

// FuzzVolume: a line of volumes that is accepted has a target in the container that is not the
// task's own, and a source below one of the task's directories or marked as the host's.
func FuzzVolume(f *testing.F) {
	for _, line := range []string{
		"local/a:/b", "../alloc:/x:ro,z", "/etc:/x", "/local/../etc:/x", "a:b:c:d", ":/x", "/x", "./../../..:/y:shared", "a\x00b:/c", "-v:/-", "local:/alloc/../alloc",
	} {
		f.Add(line)
	}
	dir := drivers.TaskDir{Alloc: "/d/a/alloc", Task: "/d/a/t", Local: "/d/a/t/local", Secrets: "/d/a/t/secrets"}
	f.Fuzz(func(t *testing.T, line string) {
		v, err := parseVolume(line)
		if err != nil {
			return
		}
		if !path.IsAbs(v.target) || v.target != path.Clean(v.target) || v.target == "/" || slices.Contains(ownTargets, v.target) || strings.ContainsAny(v.target, "\x00\n") {
			t.Fatalf("target %q of %q", v.target, line)
		}
		if v.kind != bindVolume {
			return
		}
		p, err := locate(dir, v.source)
		if err != nil {
			return
		}
		if full := filepath.Join(p.dir, p.path); !p.host() && (!filepath.IsLocal(p.path) || full != "/d/a" && !strings.HasPrefix(full, "/d/a/")) {
			t.Fatalf("source %q of %q is %+v", v.source, line, p)
		}
		if p.host() && !filepath.IsAbs(v.source) {
			t.Fatalf("relative source %q of %q is the host's %+v", v.source, line, p)
		}
	})
}

// FuzzCheckUser: a user that is accepted is a name or a number in its one spelling, so that
// every program reads the same.
func FuzzCheckUser(f *testing.F) {
	for _, user := range []string{"root", "0:0", "-1", "4294967296", "0x0", " 0", "www-data:33"} {
		f.Add(user)
	}
	f.Fuzz(func(t *testing.T, user string) {
		if checkUser(user) != nil {
			return
		}
		if strings.ContainsAny(user, " \t\n\x00;/'\"`()|&<>") || strings.HasPrefix(user, "-") || strings.Contains(user, ":-") || strings.HasPrefix(user, "+") {
			t.Fatalf("%q is accepted", user)
		}
	})
}
