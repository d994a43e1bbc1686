//go:build linux

package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// place is where the source of a bind mount lies: below a directory of the allocation, out of
// which nothing leads, or, without one, anywhere on the host.
type place struct {
	dir  string
	path string // below dir, or absolute
}

func (p place) host() bool { return p.dir == "" }

// locate finds where a source lies. A relative path is one below the task's directory, or, by
// "..", another one of the allocation's. An absolute one of the task's own view (/local/…)
// means that directory; task files say ${NOMAD_TASK_DIR}/….
func locate(dir drivers.TaskDir, source string) (place, error) {
	var full string
	if filepath.IsAbs(source) {
		full = filepath.Clean(source)
		for _, own := range []struct{ inside, dir string }{
			{"/local", dir.Local}, {"/secrets", dir.Secrets}, {"/alloc", dir.Alloc},
		} {
			if p, ok := below(own.inside, full); ok && own.dir != "" {
				return place{dir: own.dir, path: p}, nil
			}
		}
	} else {
		if dir.Task == "" {
			return place{}, fmt.Errorf("%q is relative, and the task has no directory", source)
		}
		full = filepath.Join(dir.Task, source)
	}
	roots := []string{dir.Local, dir.Secrets, dir.Alloc, dir.Task}
	if root := filepath.Dir(dir.Task); dir.Task != "" && filepath.Dir(dir.Alloc) == root {
		roots = append(roots, root)
	}
	for _, root := range roots {
		if p, ok := below(root, full); ok && root != "" {
			return place{dir: root, path: p}, nil
		}
	}
	if !filepath.IsAbs(source) {
		return place{}, fmt.Errorf("%q leads out of the allocation's directory", source)
	}
	return place{path: full}, nil
}

// below returns the path relative to root, of what is in it.
func below(root, path string) (string, bool) {
	rel, err := filepath.Rel(root, path)
	return rel, err == nil && filepath.IsLocal(rel)
}

// openSource opens what is to be mounted, without access to its content. Below an allocation's
// directory, where tasks can put links at any time, the kernel looks each name up from that
// directory and refuses all that leads out of it; what is open can't be exchanged any more.
func openSource(p place, create bool) (*os.File, error) {
	f, err := openPlace(p)
	if !errors.Is(err, unix.ENOENT) || !create {
		return f, err
	}
	if p.host() {
		if err := os.MkdirAll(p.path, 0o755); err != nil {
			return nil, err
		}
		return openPlace(p)
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := root.MkdirAll(p.path, 0o755); err != nil {
		return nil, err
	}
	return openPlace(p)
}

func openPlace(p place) (*os.File, error) {
	if p.host() {
		fd, err := unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: p.path, Err: err}
		}
		return os.NewFile(uintptr(fd), p.path), nil
	}
	dir, err := unix.Open(p.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: p.dir, Err: err}
	}
	defer unix.Close(dir) //nolint:errcheck // nothing is written through it
	fd, err := beneath(dir, p.path)
	if err != nil {
		if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ELOOP) {
			err = fmt.Errorf("a link leads out of the directory: %w", err)
		}
		return nil, &os.PathError{Op: "open", Path: p.path, Err: err}
	}
	return os.NewFile(uintptr(fd), p.path), nil
}

// beneath opens a path below a directory. The kernel asks for another try when something was
// renamed in the middle of it; a task that goes on doing so gets the error.
func beneath(dir int, path string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(dir, path, &how)
		if err == nil || !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) || try == 64 {
			return fd, err
		}
	}
}

// controlSockets are the names of sockets that are as good as root on the host.
var controlSockets = []string{"docker.sock", "containerd.sock", "podman.sock", "crio.sock", "buildkitd.sock"}

// isControl says whether a path of the host is that of a socket through which its owner
// controls containers, or of a directory of the runtime's own. It is asked of the path as
// written, and of what it leads to.
func isControl(path string, own []string) bool {
	if slices.Contains(controlSockets, filepath.Base(path)) {
		return true
	}
	return slices.ContainsFunc(own, func(dir string) bool {
		_, ok := below(dir, path)
		return ok
	})
}

// opened is the path at which an open file is now.
func opened(f *os.File) (string, error) {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	return strings.TrimSuffix(path, " (deleted)"), err
}

// checkSources refuses binds of what is the host's unless the node's configuration allows
// them, and of what controls the host unless it allows privileged tasks as well.
func (s *settings) checkSources(c *Config, spec *drivers.TaskSpec) error {
	var errs []error
	for i, v := range s.volumes {
		if v.kind != bindVolume {
			continue
		}
		p, err := locate(spec.Dir, v.source)
		switch {
		case err != nil:
		case p.host() && !c.HostVolumes:
			err = fmt.Errorf("the host's path %s is refused: this node does not allow them (volumes { enabled = true }); use a path relative to the task's directory, or a host volume of the node", p.path)
		case v.propagation == "rshared" && !c.HostVolumes:
			err = fmt.Errorf("propagation %s is refused: this node does not allow paths of the host (volumes { enabled = true })", v.propagation)
		case p.host():
			err = c.checkControl(p.path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", v.option, err))
			continue
		}
		s.volumes[i].place = p
	}
	return errors.Join(errs...)
}

// checkControl refuses what controls the host.
func (c *Config) checkControl(path string) error {
	if !isControl(path, c.Reserved) || c.HostVolumes && c.AllowPrivileged {
		return nil
	}
	return fmt.Errorf("%s is refused: who has it controls this host, and the node does not allow both privileged tasks and paths of the host; there is no Docker behind it here, and what is to watch tasks can ask the agent's API", path)
}
