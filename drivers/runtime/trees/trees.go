//go:build linux

// Package trees works on a control group in every tree that is mounted, also in those
// without controllers that package cgroup leaves alone: systemd's named one, and the unified
// one beside version 1. runc makes a container's group in all of them.
package trees

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is one mounted hierarchy of control groups.
type Tree struct {
	Dir     string
	Unified bool
	options []string // of version 1: its controllers, or name=…
}

// Mounted returns the trees of this machine.
func Mounted() ([]Tree, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f)
}

func parse(mountinfo io.Reader) ([]Tree, error) {
	var found []Tree
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		front, back, _ := strings.Cut(lines.Text(), " - ")
		where, what := strings.Fields(front), strings.Fields(back)
		if len(where) < 5 || len(what) < 3 || what[0] != "cgroup" && what[0] != "cgroup2" {
			continue
		}
		found = append(found, Tree{Dir: where[4], Unified: what[0] == "cgroup2", options: strings.Split(what[2], ",")})
	}
	return found, lines.Err()
}

// Join moves this process into a group in every tree but cpuset, whose new groups take
// nobody in before they are filled.
func Join(path string) error {
	all, err := Mounted()
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range all {
		if slices.Contains(t.options, "cpuset") {
			continue
		}
		dir := filepath.Join(t.Dir, path)
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Leave moves this process to the root of every tree and removes the group that it was in,
// with its parent, where nothing else is in them.
func Leave(path string) error {
	if err := Join("/"); err != nil {
		return err
	}
	err := Prune(path)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}

// Prune removes a group from every tree, and its parent where nothing else is in it.
func Prune(path string) error {
	all, err := Mounted()
	if err != nil {
		return err
	}
	return prune(all, path)
}

// PruneBare does the same in the trees without controllers only.
func PruneBare(path string) error {
	all, err := Mounted()
	if err != nil {
		return err
	}
	return prune(bare(all), path)
}

// bare returns the trees that limit nothing: named ones, and the unified one where version 1
// has the controllers.
func bare(all []Tree) []Tree {
	var named, unified []Tree
	controlled := false
	for _, t := range all {
		switch {
		case t.Unified:
			unified = append(unified, t)
		case slices.ContainsFunc(t.options, func(o string) bool { return strings.HasPrefix(o, "name=") }):
			named = append(named, t)
		default:
			controlled = true
		}
	}
	if controlled {
		return append(named, unified...)
	}
	return named
}

func prune(all []Tree, path string) error {
	path = filepath.Clean("/" + path)
	var errs []error
	for _, t := range all {
		dir := filepath.Join(t.Dir, path)
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("control group: %w", err))
			continue
		}
		parent := filepath.Dir(path)
		if parent == "/" {
			continue
		}
		err := os.Remove(filepath.Join(t.Dir, parent))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, fmt.Errorf("control group: %w", err))
		}
	}
	return errors.Join(errs...)
}
