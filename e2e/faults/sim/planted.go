package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// patches is where the planted bugs are: one patch each, whose first line says what is wrong.
const patches = "e2e/faults/planted/*.patch"

// findPlanted looks for each planted bug in a copy of the code.
func (r *runner) findPlanted(ctx context.Context, only string) error {
	names, err := filepath.Glob(patches)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, only) })
	if len(names) == 0 {
		return errors.New("there are no patches: run it in the root of the module")
	}
	dir, err := os.MkdirTemp("", "planted-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is a temporary one
	code := filepath.Join(dir, "code")
	if err := copyCode(code); err != nil {
		return err
	}
	r.failures = filepath.Join(r.failures, "planted")
	var missed []string
	for _, name := range names {
		found, err := r.find(ctx, code, dir, name)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		if !found {
			missed = append(missed, filepath.Base(name))
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%d of %d planted bugs are not found within %d seeds: %s", len(missed), len(names), r.seeds, strings.Join(missed, ", "))
	}
	fmt.Printf("all %d planted bugs are found\n", len(names))
	return nil
}

// copyCode copies the module, as it is in the working directory.
func copyCode(to string) error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "dist"}, path) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), b, 0o644)
	})
}

// find plants a bug, runs seeds until one finds it, and takes it out again.
func (r *runner) find(ctx context.Context, code, dir, name string) (found bool, err error) {
	patch, err := filepath.Abs(name)
	if err != nil {
		return false, err
	}
	if err := apply(ctx, code, patch); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, apply(context.WithoutCancel(ctx), code, patch, "-R")) }()
	binary, err := build(ctx, code, dir)
	if err != nil {
		return false, err
	}
	began, tried := time.Now(), 0
	var by outcome
	r.each(ctx, binary, func(out outcome) bool {
		tried++
		switch out.invariant() {
		case "load", "none", "deadlock": // that shows no bug: raft itself now and then leaves two goroutines behind
			return true
		}
		found, by = true, out
		return false
	})
	label := strings.TrimSuffix(filepath.Base(name), ".patch")
	if !found {
		fmt.Printf("%-40s NOT FOUND in %d seeds, %s\n", label, tried, time.Since(began).Round(time.Second))
		return false, nil
	}
	fmt.Printf("%-40s %-8s SEED=%d (%d tried, %s): %.160s\n", label, by.invariant(), by.seed, tried, time.Since(began).Round(time.Second), by.why())
	return true, nil
}

// apply applies a patch, or takes it back. One that does not fit the code any more is an error.
func apply(ctx context.Context, code, patch string, flags ...string) error {
	args := append([]string{"apply", "--whitespace=nowarn"}, flags...)
	cmd := exec.CommandContext(ctx, "git", append(args, patch)...)
	cmd.Dir = code
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(code))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the patch does not apply any more: %w\n%s", err, out)
	}
	return nil
}
