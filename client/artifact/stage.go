package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/client/allocfs"
)

// stage is the directory in which an artifact becomes complete. It lies in the destination,
// to be on the same file system, and its name is always the same for one destination: what
// an agent leaves that is killed, the next one finds and removes.
type stage struct {
	root *os.Root
	dest string // the directory that things go to
	dir  string
	made bool // dest is new
}

const stagePrefix = ".artifact-"

func newStage(root *os.Root, t target) (*stage, error) {
	sum := sha256.Sum256([]byte(t.dir + "\x00" + t.file))
	s := &stage{root: root, dest: t.dir, dir: filepath.Join(t.dir, stagePrefix+hex.EncodeToString(sum[:8]))}
	if _, err := root.Stat(t.dir); errors.Is(err, fs.ErrNotExist) {
		s.made = true
		if err := root.MkdirAll(t.dir, 0o755); err != nil {
			return nil, fmt.Errorf("destination: %w", err)
		}
	}
	if err := root.RemoveAll(s.dir); err != nil {
		return nil, fmt.Errorf("remove what an earlier download left: %w", err)
	}
	if err := root.Mkdir(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	return s, nil
}

func (s *stage) remove() error { return s.root.RemoveAll(s.dir) }

// file makes the file that takes the download.
func (s *stage) file() (*os.File, error) {
	return s.root.OpenFile(filepath.Join(s.dir, "download"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
}

// tree makes the directory that takes what is in an archive.
func (s *stage) tree() (*os.Root, error) {
	dir := filepath.Join(s.dir, "tree")
	if err := s.root.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return allocfs.OpenDir(s.root, dir)
}

// putFile moves the download into place.
func (s *stage) putFile(file *os.File, name string, owner *Owner) error {
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	if owner != nil {
		if err := file.Chown(owner.UID, owner.GID); err != nil {
			return err
		}
		if err := s.ownDest(owner); err != nil {
			return err
		}
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return s.root.Rename(filepath.Join(s.dir, "download"), filepath.Join(s.dest, name))
}

func (s *stage) ownDest(owner *Owner) error {
	if !s.made || owner == nil {
		return nil
	}
	return s.root.Chown(s.dest, owner.UID, owner.GID)
}

// putTree moves what was unpacked, or a part of it, into place.
func (s *stage) putTree(tree *os.Root, subdir string, t target, owner *Owner) error {
	from := "."
	if subdir != "" {
		matches, err := fs.Glob(tree.FS(), subdir)
		if err != nil || len(matches) != 1 {
			return fmt.Errorf("the archive has %d entries %q, want one", len(matches), subdir)
		}
		from = matches[0]
	}
	info, err := tree.Lstat(from)
	if err != nil {
		return err
	}
	m := &mover{s: s, tree: tree, base: filepath.Join(s.dir, "tree"), owner: owner}
	if err := s.ownDest(owner); err != nil {
		return err
	}
	switch {
	case t.file != "":
		return m.only(from, info, path.Base(t.file))
	case info.IsDir():
		return m.merge(from, ".")
	}
	return m.move(from, info, path.Base(from))
}

// mover moves what was unpacked to the destination. A directory that is there already stays
// and takes what is new; anything else is replaced.
type mover struct {
	s     *stage
	tree  *os.Root
	base  string // of the tree, below the stage's root
	owner *Owner
}

func (m *mover) merge(from, to string) error {
	entries, err := fs.ReadDir(m.tree.FS(), from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := m.tree.Lstat(path.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := m.move(path.Join(from, e.Name()), info, path.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (m *mover) move(from string, info fs.FileInfo, to string) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		link, err := m.tree.Readlink(from)
		if err != nil {
			return err
		}
		if !staysInside(to, link) { // the part that is moved may be smaller than the archive
			return fmt.Errorf("link %q leads out of the destination", to)
		}
	}
	if m.owner != nil {
		if err := m.tree.Lchown(from, m.owner.UID, m.owner.GID); err != nil {
			return err
		}
	}
	target := filepath.Join(m.s.dest, to)
	there, err := m.s.root.Lstat(target)
	switch {
	case info.IsDir() && err == nil && there.IsDir():
		return m.merge(from, to)
	case info.IsDir():
		if err == nil {
			if err := m.s.root.Remove(target); err != nil {
				return err
			}
		}
		if err := m.s.root.Mkdir(target, info.Mode().Perm()); err != nil {
			return err
		}
		if m.owner != nil {
			if err := m.s.root.Lchown(target, m.owner.UID, m.owner.GID); err != nil {
				return err
			}
		}
		return m.merge(from, to)
	}
	return m.s.root.Rename(filepath.Join(m.base, from), target)
}

// only moves the one file of an archive.
func (m *mover) only(from string, info fs.FileInfo, to string) error {
	for info.IsDir() {
		entries, err := fs.ReadDir(m.tree.FS(), from)
		if err != nil {
			return err
		}
		if len(entries) != 1 {
			return fmt.Errorf("mode file wants an archive of one file: it has %d entries", len(entries))
		}
		from = path.Join(from, entries[0].Name())
		if info, err = m.tree.Lstat(from); err != nil {
			return err
		}
	}
	return m.move(from, info, to)
}

// staysInside says whether a link at a path below a directory can't lead out of it: all its
// steps up come first, and there are no more of them than directories above it. Links among
// the directories that it names stay inside themselves.
func staysInside(at, link string) bool {
	if link == "" || path.IsAbs(link) || len(link) > maxName || strings.ContainsRune(link, 0) {
		return false
	}
	depth := strings.Count(path.Clean(at), "/")
	down := false
	for part := range strings.SplitSeq(link, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return false
			}
		default:
			down = true
		}
	}
	return true
}
