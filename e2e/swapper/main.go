//go:build linux

// Command swapper is a task that exchanges directories of its allocation for links that lead
// out of it, and back, as fast as it can. It counts the exchanges in local/swaps.
//
//	swapper OUTSIDE DIRECTORY…
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// countEvery is how many exchanges lie between two counts.
const countEvery = 10_000

func main() {
	fmt.Fprintln(os.Stderr, "swapper:", swap(os.Args[1], os.Args[2:]))
	os.Exit(1)
}

// swap goes on until it is killed, or returns why it can't.
func swap(outside string, dirs []string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		if err := os.Symlink(outside, dir+".link"); err != nil {
			return err
		}
	}
	count := filepath.Join(os.Getenv("NOMAD_TASK_DIR"), "swaps")
	for n := 1; ; n++ {
		dir := dirs[n%len(dirs)]
		if err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, dir+".link", unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		if n%countEvery == 0 {
			if err := os.WriteFile(count, []byte(strconv.Itoa(n)), 0o600); err != nil {
				return err
			}
		}
	}
}
