package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/client/allocfs"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// timesFile, below the task's private directory, says from when until when its identities
// are valid. There is no secret in it.
const timesFile = "identities.json"

// put writes identities into the files that the task has for them, and their times.
func (h identities) put(s *task.Setup, ids []*nomadish.WorkloadIdentity, signed map[string]nomadish.SignedIdentity) error {
	for _, id := range ids {
		if !id.File {
			continue
		}
		if err := putIdentity(s, id, signed[id.Name].JWT.Reveal()); err != nil {
			return fmt.Errorf("identity %q: %w", id.Name, err)
		}
	}
	return writeTimes(s, h.known(s))
}

// identityPath is where an identity's file lies below the task's directory.
func identityPath(id *nomadish.WorkloadIdentity) (string, error) {
	if id.Filepath == "" {
		name := "nomad_token"
		if id.Name != nomadish.DefaultIdentity {
			name = "nomad_" + id.Name + ".jwt"
		}
		return path.Join(secretsDir, name), nil
	}
	clean := path.Clean(strings.TrimLeft(id.Filepath, "/"))
	first, _, _ := strings.Cut(clean, "/")
	if !filepath.IsLocal(clean) || clean == "." || first == privateDir {
		return "", fmt.Errorf("filepath %q is outside of the task's directory", id.Filepath)
	}
	return clean, nil
}

// putIdentity replaces the file of an identity: a task that reads it sees the old one or the
// new one.
func putIdentity(s *task.Setup, id *nomadish.WorkloadIdentity, token string) error {
	file, err := identityPath(id)
	if err != nil {
		return &task.InvalidError{Err: err}
	}
	own, err := openBelow(s.Root, s.Task.Name)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := own.MkdirAll(path.Dir(file), 0o755); err != nil {
		return err
	}
	dir, err := allocfs.OpenDir(own, path.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := path.Base(file)
	next := "." + name + ".new"
	mode, uid, gid := readerOf(s)
	if err := writeNew(dir, next, []byte(token), 0o600); err != nil {
		return err
	}
	if uid >= 0 {
		if err := dir.Chown(next, uid, gid); err != nil {
			return errors.Join(err, dir.Remove(next))
		}
	}
	if err := dir.Chmod(next, mode); err != nil {
		return errors.Join(err, dir.Remove(next))
	}
	if err := dir.Rename(next, name); err != nil {
		return errors.Join(err, dir.Remove(next))
	}
	return nil
}

// readerOf says who may read the file: the task's user alone. Where only the task's image
// knows who that is, everybody may who gets past the directory above, which is the agent's.
func readerOf(s *task.Setup) (mode fs.FileMode, uid, gid int) {
	name := userOf(s)
	if name == "" {
		if s.Capabilities.Isolation == drivers.IsolationImage {
			return 0o644, -1, -1
		}
		return 0o600, -1, -1
	}
	uid, gid, ok := lookupUser(name)
	if !ok {
		uid, gid, ok = numericUser(name)
	}
	switch {
	case !ok:
		return 0o644, -1, -1
	case os.Geteuid() != 0:
		return 0o600, -1, -1
	}
	return 0o600, uid, gid
}

// numericUser reads a user that is named by numbers: 1000 or 1000:100.
func numericUser(name string) (uid, gid int, ok bool) {
	user, group, both := strings.Cut(name, ":")
	uid, err := strconv.Atoi(user)
	if err != nil || uid < 0 {
		return 0, 0, false
	}
	if !both {
		return uid, uid, true
	}
	gid, err = strconv.Atoi(group)
	return uid, gid, err == nil && gid >= 0
}

func writeTimes(s *task.Setup, kept map[string]nomadish.SignedIdentity) error {
	times := make(map[string]nomadish.SignedIdentity, len(kept))
	for name, k := range kept {
		times[name] = nomadish.SignedIdentity{IssuedAt: k.IssuedAt, Expires: k.Expires}
	}
	text, err := json.Marshal(times)
	if err != nil {
		return err
	}
	dir, err := openBelow(s.Root, filepath.Join(s.Task.Name, privateDir))
	if err != nil {
		return err
	}
	defer dir.Close()
	return writeNew(dir, timesFile, text, 0o600)
}

// readTimes returns what writeTimes wrote: nothing, if it did not.
func readTimes(s *task.Setup) (map[string]nomadish.SignedIdentity, error) {
	dir, err := openBelow(s.Root, filepath.Join(s.Task.Name, privateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	text, err := dir.ReadFile(timesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	times := map[string]nomadish.SignedIdentity{}
	if json.Unmarshal(text, &times) != nil {
		return nil, nil // a crash cut it short: the identities are renewed
	}
	return times, nil
}
