package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/jobspec"
)

func fmtCommand() command {
	return command{
		words: "fmt", args: "[FILE, DIRECTORY or - ...]", summary: "Lay out job files and other HCL files in the canonical way",
		help: `  Of a directory (by default the working directory) the files *.hcl and *.nomad are taken.
  "-" reads standard input and writes to standard output. Files that are not laid out in
  the canonical way are listed and rewritten.`,
		example: "  nomadish fmt -recursive jobs\n  nomadish fmt -check",
		exits: `  0   done; with -check: all files are laid out in the canonical way
  1   a file can't be read or has a syntax error; with -check: a file is laid out differently
  64  the command line is wrong`,
		run: runFmt,
	}
}

type formatter struct {
	*call
	check, list, write, recursive bool
	changed                       bool
	errs                          []error
}

func runFmt(_ context.Context, c *call) error {
	f := &formatter{call: c}
	c.flags.BoolVar(&f.check, "check", false, "change nothing, and fail if a file would change")
	c.flags.BoolVar(&f.list, "list", true, "list the files that change")
	c.flags.BoolVar(&f.write, "write", true, "write files; otherwise their new text goes to standard output")
	c.flags.BoolVar(&f.recursive, "recursive", false, "go into subdirectories")
	if err := c.parse(0, -1); err != nil {
		return err
	}
	paths := c.args
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, path := range paths {
		f.path(path)
	}
	for _, err := range f.errs {
		fmt.Fprintln(c.Stderr, describe(err))
	}
	if len(f.errs) > 0 || f.check && f.changed {
		return &exit{code: ExitFailed}
	}
	return nil
}

// fail notes an error; other files are done all the same.
func (f *formatter) fail(err error) {
	if err != nil {
		f.errs = append(f.errs, err)
	}
}

func (f *formatter) path(path string) {
	if path == "-" {
		f.fail(f.standardInput())
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		f.fail(err)
	case !info.IsDir():
		f.fail(f.file(path, info.Mode().Perm()))
	default:
		f.fail(f.directory(path))
	}
}

func (f *formatter) directory(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && (!f.recursive || strings.HasPrefix(d.Name(), ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(path); !d.Type().IsRegular() || ext != ".hcl" && ext != ".nomad" {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f.fail(f.file(path, info.Mode().Perm()))
		return nil
	})
}

func (f *formatter) file(path string, mode fs.FileMode) error {
	text, err := f.readText(path)
	if err != nil {
		return err
	}
	formatted, err := jobspec.Format(text, path)
	if err != nil {
		return err
	}
	if bytes.Equal(text, formatted) {
		return nil
	}
	f.changed = true
	if f.list {
		if err := f.print("%s\n", path); err != nil {
			return err
		}
	}
	switch {
	case f.check:
		return nil
	case f.write:
		return replace(path, formatted, mode)
	}
	_, err = f.Stdout.Write(formatted)
	return err
}

// replace writes a file so that it is never there in part.
func replace(path string, text []byte, mode fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays a link
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(file.Name()))
	}
	return nil
}

func (f *formatter) standardInput() error {
	text, err := f.readText("-")
	if err != nil {
		return err
	}
	formatted, err := jobspec.Format(text, "stdin")
	if err != nil {
		return err
	}
	f.changed = f.changed || !bytes.Equal(text, formatted)
	if f.check {
		return nil
	}
	_, err = f.Stdout.Write(formatted)
	return err
}
