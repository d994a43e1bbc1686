package consensus

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/server/consensus/vfs"
)

const (
	clusterFile    = "cluster"
	clusterFileMax = 4 << 10
	rememberAgain  = 10 * time.Second // after it could not be written
)

// origin is what a cluster's name is made of: see Consensus.Cluster.
type origin struct {
	id       string
	restored uint64
}

func (o origin) String() string {
	if o.restored > 0 {
		return o.id + "/" + strconv.FormatUint(o.restored, 10)
	}
	return o.id
}

func (m machine) origin() origin {
	r := m.Store().Reader()
	return origin{r.ClusterID(), r.Restored()}
}

// Cluster names the cluster that this server belongs to, apart from others and from what it was before its
// state was replaced by a saved one, which may be another cluster's; empty before its first term began. A
// server that has started anew, and has yet to hear what of its log is committed, has it from a file: without
// a name nobody would listen to one that was removed while it was away.
func (c *Consensus) Cluster() string {
	if name := c.machine.origin().String(); name != "" {
		return name
	}
	return c.remembered
}

// recall reads the file with the cluster's name, if this server has data of a cluster. One that is damaged is
// as good as none.
func (c *Consensus) recall() error {
	last, err := c.log.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	data, err := vfs.ReadFile(c.cfg.FS, filepath.Join(c.cfg.Dir, clusterFile), clusterFileMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	name, sum, _ := strings.Cut(strings.TrimSuffix(string(data), "\n"), " ")
	if sum != checksum(name) {
		c.cfg.Logger.Warn("the file with the cluster's name is damaged, and is not used", "file", filepath.Join(c.cfg.Dir, clusterFile))
		return nil
	}
	c.remembered = name
	return nil
}

func checksum(name string) string {
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(name), crc32.MakeTable(crc32.Castagnoli)))
}

// remember keeps the file with the cluster's name true until ctx ends.
func (c *Consensus) remember(ctx context.Context) {
	written := c.remembered
	for {
		var again <-chan time.Time
		if name := c.machine.origin().String(); name != "" && name != written {
			data := []byte(name + " " + checksum(name) + "\n")
			if err := vfs.WriteFile(c.cfg.FS, filepath.Join(c.cfg.Dir, clusterFile), data); err != nil {
				c.cfg.Logger.Warn("write down the cluster's name", "err", err)
				again = time.After(rememberAgain)
			} else {
				written = name
			}
		}
		select {
		case <-c.machine.renamed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}
