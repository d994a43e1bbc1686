package fingerprint

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Disk is the use of a file system.
type Disk struct {
	Device string
	Mount  string
	Total  uint64 // bytes
	Free   uint64 // bytes that ordinary users may still take
	Inodes uint64
	Unused uint64 // inodes
}

// storage finds the disk of the data directory.
func storage(_ context.Context, cfg *Config, n *nomadish.Node) error {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	d, err := DiskOf(dir)
	if err != nil {
		return err
	}
	free := cmp.Or(cfg.DiskFreeMB<<20, int64(d.Free))
	if cfg.DiskTotalMB > 0 {
		d.Total = uint64(cfg.DiskTotalMB) << 20
		free = min(free, int64(d.Total))
	}
	a := n.Attributes
	a["unique.storage.volume"] = d.Device
	a["unique.storage.bytestotal"] = strconv.FormatUint(d.Total, 10)
	a["unique.storage.bytesfree"] = strconv.FormatInt(free, 10)
	n.NodeResources.Disk.DiskMB = free >> 20
	return nil
}
