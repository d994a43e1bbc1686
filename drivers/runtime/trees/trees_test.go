//go:build linux

package trees

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const hybrid = `30 20 0:10 / /proc rw - proc proc rw
31 20 0:11 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct
32 20 0:12 / /cg/systemd rw - cgroup cgroup rw,name=systemd
33 20 0:13 / /cg/unified rw - cgroup2 cgroup2 rw
`

// Beside version 1, the named and the unified tree limit nothing; alone, the unified one does.
func TestBareTrees(t *testing.T) {
	for mounts, want := range map[string][]string{
		hybrid: {"/cg/systemd", "/cg/unified"},
		"33 20 0:13 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n": nil,
		"": nil,
	} {
		all, err := parse(strings.NewReader(mounts))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range bare(all) {
			got = append(got, b.Dir)
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %q: %v, want %v", mounts, got, want)
		}
	}
}

// Prune takes the group and an empty parent, and leaves a parent that others are in.
func TestPruneKeepsNeighbours(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/one", "a/two"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	all := []Tree{{Dir: dir}, {Dir: filepath.Join(dir, "none")}}
	for _, step := range []struct{ path, stays string }{{"a/one", "a/two"}, {"a/one", "a/two"}, {"/a/two", ""}} {
		if err := prune(all, step.path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, step.path)); err == nil {
			t.Errorf("%s is still there", step.path)
		}
		if _, err := os.Stat(filepath.Join(dir, step.stays)); err != nil {
			t.Errorf("%s is gone", step.stays)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("the empty parent is still there")
	}
}
