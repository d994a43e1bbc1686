package hooks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nomadish/nomadish/client/allocfs"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
)

// The directories of an allocation.
const (
	sharedDir  = "alloc"
	localDir   = "local"
	privateDir = "private"
	secretsDir = "secrets"
	tmpDir     = "tmp"
)

// directories makes the directories of the allocation and of the task.
type directories struct{}

func (directories) Name() string { return "directories" }

// directory is one to make, by its path below the allocation's.
type directory struct {
	path  string
	mode  fs.FileMode
	owned bool // by the task's user
}

// layout returns the directories in the order in which they are made. A task in an image
// of its own may run as a user that this node does not know: its directories are open, and
// closed to the node's other users by the directory above.
func layout(taskName string, isolation drivers.Isolation) []directory {
	open := fs.FileMode(0o777)
	top, secret := fs.FileMode(0o711), fs.FileMode(0o700)
	if isolation == drivers.IsolationImage {
		top, secret = 0o700, open
	}
	return []directory{
		{path: ".", mode: 0o711},
		{path: sharedDir, mode: 0o755},
		{path: filepath.Join(sharedDir, "data"), mode: open},
		{path: filepath.Join(sharedDir, "logs"), mode: open},
		{path: filepath.Join(sharedDir, tmpDir), mode: open | fs.ModeSticky},
		{path: taskName, mode: top, owned: isolation == drivers.IsolationChroot}, // its root, to write to
		{path: filepath.Join(taskName, localDir), mode: open},
		{path: filepath.Join(taskName, privateDir), mode: 0o700},
		{path: filepath.Join(taskName, secretsDir), mode: secret, owned: true},
		{path: filepath.Join(taskName, tmpDir), mode: open | fs.ModeSticky},
	}
}

func (directories) Prepare(_ context.Context, s *task.Setup) error {
	if err := checkName(s.Task.Name); err != nil {
		return &task.InvalidError{Err: err}
	}
	if err := os.MkdirAll(s.Root, 0o711); err != nil {
		return drivers.Recoverable(err)
	}
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return drivers.Recoverable(err)
	}
	defer root.Close()
	for _, d := range layout(s.Task.Name, s.Capabilities.Isolation) {
		if err := makeDir(root, d, userOf(s)); err != nil {
			return drivers.Recoverable(fmt.Errorf("directory %s: %w", d.path, err))
		}
	}
	s.Spec.Dir = taskDir(s)
	return nil
}

// Restore fills in the paths for the hooks behind.
func (directories) Restore(_ context.Context, s *task.Setup) error {
	s.Spec.Dir = taskDir(s)
	return nil
}

// userOf is the task's user: with a chroot nobody, unless the job names one.
func userOf(s *task.Setup) string {
	if s.Task.User == "" && s.Capabilities.Isolation == drivers.IsolationChroot {
		return "nobody"
	}
	return s.Task.User
}

func taskDir(s *task.Setup) drivers.TaskDir {
	own := filepath.Join(s.Root, s.Task.Name)
	return drivers.TaskDir{
		Alloc:   filepath.Join(s.Root, sharedDir),
		Task:    own,
		Local:   filepath.Join(own, localDir),
		Secrets: filepath.Join(own, secretsDir),
	}
}

// openBelow opens a directory below an allocation's. A link that a task has put in its place
// leads nowhere out of the allocation.
func openBelow(allocDir, name string) (*os.Root, error) {
	root, err := os.OpenRoot(allocDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return allocfs.OpenDir(root, name)
}

// checkName refuses the names that would lead out of the allocation's directory or into
// the shared one, whatever the server let pass.
func checkName(name string) error {
	if name == sharedDir || !filepath.IsLocal(name) || filepath.Base(name) != name || name == "." {
		return fmt.Errorf("task name %q can't be the name of a directory", name)
	}
	return nil
}

func makeDir(root *os.Root, d directory, user string) error {
	if d.path != "." {
		if err := root.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	info, err := root.Lstat(d.path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("something else is in its place")
	}
	if info.Mode()&(fs.ModePerm|fs.ModeSticky) != d.mode {
		if err := root.Chmod(d.path, d.mode); err != nil {
			return err
		}
	}
	if d.owned {
		return chown(root, d.path, user)
	}
	return nil
}

// chown gives a directory to the task's user. Without root, or for a user that only the
// task's image knows, it stays the agent's.
func chown(root *os.Root, path, name string) error {
	if name == "" || os.Geteuid() != 0 {
		return nil
	}
	uid, gid, ok := lookupUser(name)
	if !ok {
		return nil
	}
	return root.Chown(path, uid, gid)
}
