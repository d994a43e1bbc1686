//go:build unix

package nodesim

import (
	"fmt"
	"syscall"
)

// spareFiles is how many open files a process needs besides one per node.
const spareFiles = 64

// checkFiles says whether this process may open as many files as nodes take. The runtime has
// raised the soft limit already as far as it goes.
func checkFiles(nodes int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("the limit of open files: %w", err)
	}
	if need := uint64(nodes + spareFiles); uint64(limit.Cur) < need { //nolint:unconvert // signed on some systems
		return fmt.Errorf("%d nodes need %d open files and this process may have %d: run \"ulimit -n %d\" before, or with systemd set LimitNOFILE=%d; the server needs as many",
			nodes, need, limit.Cur, need, need)
	}
	return nil
}
