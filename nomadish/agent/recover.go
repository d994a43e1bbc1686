package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// ErrDisk is how an agent ends whose server's disk failed, or does not hold what was written to it.
var ErrDisk = consensus.ErrDisk

// Survivor is what a server whose agent is stopped can go on with.
type Survivor struct {
	ID    string
	Holds consensus.Holdings
}

// LookSurvivor returns what the server in a data directory has. Its agent must not run.
func LookSurvivor(dataDir string) (Survivor, error) {
	return onStopped(dataDir, consensus.Holds)
}

// RecoverSurvivor makes a cluster of the server in a data directory and of others, if any are named by ID:
// the same has to be done with each of theirs. It refuses unless the newest entry there is the expected one,
// so that it is not done, by mistake, with another survivor than was meant.
func RecoverSurvivor(dataDir string, index, term uint64, others []string) (Survivor, error) {
	return onStopped(dataDir, func(c consensus.Config) (consensus.Holdings, error) {
		h, err := consensus.Holds(c)
		if err != nil {
			return h, err
		}
		if h.Index != index || h.Term != term {
			return h, nomadish.Errorf(nomadish.KindConflict, "recover: the newest entry here is %d of term %d, not %d of term %d: "+
				"this is another server than was meant, or it went on meanwhile", h.Index, h.Term, index, term)
		}
		peers := []consensus.Peer{{ID: c.ID, Voter: true}}
		for _, id := range others {
			if id != c.ID {
				peers = append(peers, consensus.Peer{ID: id, Voter: true})
			}
		}
		return consensus.Recover(c, peers)
	})
}

// onStopped does something to the data of a server whose agent does not run.
func onStopped(dataDir string, do func(consensus.Config) (consensus.Holdings, error)) (Survivor, error) {
	lock, id, err := stoppedServer(dataDir)
	if err != nil {
		return Survivor{}, err
	}
	defer lock.release()
	h, err := do(consensus.Config{ID: id, Dir: filepath.Join(dataDir, "server")})
	return Survivor{id, h}, err
}

// stoppedServer keeps agents out of a data directory, which must be that of a server.
func stoppedServer(dataDir string) (*dirLock, string, error) {
	if _, err := os.Stat(filepath.Join(dataDir, "server", "raft")); errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%w: %s", consensus.ErrNoData, dataDir)
	}
	b, err := os.ReadFile(filepath.Join(dataDir, "server", "id"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is missing where setting aside was interrupted
		return nil, "", err
	}
	lock, err := lockDir(dataDir)
	if err != nil {
		return nil, "", fmt.Errorf("%w; stop it first", err)
	}
	return lock, strings.TrimSpace(string(b)), nil
}

// DiscardServer sets aside what the server in a data directory knows of the cluster, in a directory whose
// name it returns. The agent then joins as a new server, under a new ID: one that has forgotten what it
// voted for and what it has acknowledged must not come back as the same. Its keyring's wrapping key stays.
func DiscardServer(dataDir string, now time.Time) (aside string, err error) {
	lock, _, err := stoppedServer(dataDir)
	if err != nil {
		return "", err
	}
	defer lock.release()
	dir := filepath.Join(dataDir, "server")
	aside = filepath.Join(dir, "discarded-"+now.UTC().Format("20060102-150405"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", err
	}
	// The ID goes first: with its ID and without its data a server would be one that forgot what it said.
	for _, name := range []string{"id", "cluster", "raft", "snapshots"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return aside, err
		}
		if err := (vfs.OS{}).SyncDir(dir); err != nil {
			return aside, err
		}
	}
	return aside, nil
}
