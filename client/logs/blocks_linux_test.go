package logs

import (
	"os"
	"syscall"
	"testing"
)

// usedBlocks is the disk space that a file takes.
func usedBlocks(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}
