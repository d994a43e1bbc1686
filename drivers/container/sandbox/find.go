//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// Find returns the path under which the task sees a program. One with an absolute path is
// taken as it is; another is looked for in the task's local directory, in its root, in its
// volumes, and then in the usual directories. One in a directory of the task's is made
// executable: a downloaded file need not be.
func (s *Sandbox) Find(spec *drivers.TaskSpec, command string) (string, error) {
	if command == "" {
		return "", errors.New("missing option: command")
	}
	if strings.ContainsRune(command, 0) {
		return "", errors.New("command: has a zero byte")
	}
	mounts := s.mounts()
	if path.IsAbs(command) {
		return command, makeExecutable(spec, command)
	}
	candidates := []string{path.Join("/local", command), path.Join("/", command)}
	for _, m := range spec.Mounts {
		candidates = append(candidates, path.Join("/", m.Target, command))
	}
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		candidates = append(candidates, path.Join(dir, command))
	}
	for _, c := range candidates {
		if s.isFile(spec, mounts, c) {
			return c, makeExecutable(spec, c)
		}
	}
	return "", fmt.Errorf("command: %q is not in local, in the task's directory, in its volumes, or in /usr/local/bin, /usr/bin and /bin", command)
}

// place is where a path of the task is on the host: a name in a directory that it cannot lead
// out of.
type place struct {
	dir, name string
	owner     owner
}

// owner says whose a directory is: what it holds is trusted accordingly.
type owner uint8

const (
	ofTask   owner = iota // made for it: it may put links anywhere
	ofVolume              // somebody else's, and perhaps writable by tasks
	ofHost
)

// where finds the place of a path: the mount that is deepest counts.
func where(spec *drivers.TaskSpec, mounts []specs.Mount, file string) place {
	file = path.Clean("/" + file)
	best := place{dir: spec.Dir.Task, name: strings.TrimPrefix(file, "/"), owner: ofTask}
	depth := 0
	look := func(source, target string, whose owner) {
		target = path.Join("/", target)
		rest, inside := strings.CutPrefix(file, target)
		if !inside || len(target) <= depth || source == "" || rest != "" && rest[0] != '/' {
			return
		}
		depth = len(target)
		best = place{dir: source, name: strings.TrimPrefix(rest, "/"), owner: whose}
	}
	for _, m := range mounts {
		look(m.Source, m.Destination, ofHost)
	}
	look(spec.Dir.Alloc, "/alloc", ofTask)
	look(spec.Dir.Local, "/local", ofTask)
	look(spec.Dir.Secrets, "/secrets", ofTask)
	for _, m := range spec.Mounts {
		look(m.Source, m.Target, ofVolume)
	}
	return best
}

// Has says whether a file is in a directory of the task's or in one of its volumes, under the
// path by which the task sees it.
func (s *Sandbox) Has(spec *drivers.TaskSpec, file string) bool { return s.isFile(spec, nil, file) }

// isFile says whether the task sees a file at a path.
func (s *Sandbox) isFile(spec *drivers.TaskSpec, mounts []specs.Mount, file string) bool {
	p := where(spec, mounts, file)
	if p.name == "" {
		return false
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return false
	}
	defer root.Close()
	info, err := root.Stat(p.name)
	if err != nil && p.owner == ofHost { // a link from one directory of the host to another
		info, err = os.Stat(path.Join(p.dir, p.name))
	}
	return err == nil && info.Mode().IsRegular()
}

// makeExecutable lets everybody run a regular file in one of the task's directories. It
// follows no link out of them, and leaves all else alone.
func makeExecutable(spec *drivers.TaskSpec, file string) error {
	p := where(spec, nil, file)
	if p.owner != ofTask || p.name == "" || p.dir == "" {
		return nil
	}
	root, err := os.OpenRoot(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	defer root.Close()
	// Without O_NONBLOCK a pipe in the file's place would hold us up.
	f, err := root.OpenFile(p.name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil //nolint:nilerr // the path leads elsewhere: running it says whether it is there
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0o111 {
		return err
	}
	return f.Chmod(info.Mode().Perm() | 0o111) // of the opened file: a name may be swapped meanwhile
}
