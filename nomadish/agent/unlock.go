package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nomadish/nomadish/nomadish/recovery"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/secrets"
)

// recoveryFile is where a server looks for the recovery key when its wrapping keys open nothing.
func recoveryFile(dataDir string) string {
	return filepath.Join(dataDir, "server", "keyring", "recovery.key")
}

// GiveRecoveryKey gives the recovery key to the server in a data directory, whose agent may run. The server
// removes the file, whose name is returned, when it has wrapped its root keys with a key of its own.
func GiveRecoveryKey(dataDir string, key *recovery.Key) (file string, err error) {
	if _, err := os.Stat(filepath.Join(dataDir, "server", "raft")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s", consensus.ErrNoData, dataDir)
	}
	file = recoveryFile(dataDir)
	return file, secrets.GiveRecovery(file, key)
}
