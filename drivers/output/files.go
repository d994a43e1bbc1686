package output

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/nomadish/nomadish/drivers"
)

// maxNumber bounds the numbers of files that are taken for ours: numbers go on from there.
const maxNumber = 1 << 60

// batch is how many names of a directory are read at once: a task may make many.
const batch = 1024

// openPlain opens a numbered file for reading and writing. Tasks can write to its directory: a
// link or anything else but a plain file that they put in its place is removed, never followed.
func openPlain(root *os.Root, name string) (*os.File, error) {
	for range 2 {
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o644)
		if err == nil {
			if plain(root, name, f) {
				return f, nil
			}
			err = f.Close()
		} else if there, statErr := root.Lstat(name); statErr != nil || there.Mode().IsRegular() {
			return nil, err // a full disk, no more descriptors, …
		}
		if rmErr := root.RemoveAll(name); rmErr != nil {
			return nil, errors.Join(err, rmErr)
		}
	}
	return nil, fmt.Errorf("%s: something keeps replacing it", name)
}

func plain(root *os.Root, name string, f *os.File) bool {
	opened, err := f.Stat()
	if err != nil || !opened.Mode().IsRegular() {
		return false
	}
	if _, names, err := measure(f); err != nil || names > 1 {
		return false
	}
	there, err := root.Lstat(name)
	return err == nil && os.SameFile(opened, there)
}

// numbers returns the numbers of the files of a log, in order.
func numbers(root *os.Root, log string) ([]int64, error) {
	dir, err := root.Open(path.Dir(log))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var out []int64
	for {
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			digits, ok := strings.CutPrefix(name, path.Base(log)+".")
			if !ok {
				continue
			}
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 && n < maxNumber && strconv.FormatInt(n, 10) == digits {
				out = append(out, n)
			}
		}
		if errors.Is(err, io.EOF) {
			slices.Sort(out)
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Read returns what is kept of an output, for tests and tools: at most its limits' worth.
func Read(o drivers.Output) ([]byte, error) {
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	there, err := numbers(root, o.Path)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, n := range there {
		data, err := root.ReadFile((&Log{out: o}).name(n))
		if err != nil {
			return nil, err
		}
		out = append(out, data...)
	}
	return out, nil
}
