package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/recovery"
	"github.com/nomadish/nomadish/nomadish/snapshot"
)

func snapshotSaveCommand() command {
	return command{
		words: "operator snapshot save", args: "[FILE]", summary: "Save the whole state of the servers to a file",
		help: "  FILE is made new, or replaced once the new one is whole and checked; by default its name says the time. The\n" +
			"  secrets in it can be read only with the servers' wrapping key, which is not in it: keep a copy of that elsewhere.",
		example: "  nomadish operator snapshot save\n  nomadish operator snapshot save -stale /backup/state.snap",
		run:     runSnapshotSave,
	}
}

func runSnapshotSave(ctx context.Context, c *call) error {
	c.remoteFlags()
	stale := c.flags.Bool("stale", false, "of any server, which may be behind: it works without a leader, too")
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	name := "nomadish-" + c.Now().UTC().Format("20060102-150405") + ".snap"
	if len(c.args) == 1 {
		name = c.args[0]
	}
	in, err := client.Operator().Snapshot(ctx, &api.Query{Stale: *stale})
	if err != nil {
		return err
	}
	defer in.Close()
	meta, err := storeSnapshot(name, in)
	if err != nil {
		return err
	}
	return c.print("The state at index %d is saved to %s.\n", meta.Index, name)
}

// storeSnapshot writes a snapshot to a file, whole and checked or not at all.
func storeSnapshot(name string, in io.Reader) (meta snapshot.Meta, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".snapshot-*") // 0600
	if err != nil {
		return meta, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	meta, _, err = snapshot.Verify(io.TeeReader(in, f))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return meta, err
	}
	return meta, os.Rename(f.Name(), name)
}

func snapshotRestoreCommand() command {
	return command{
		words: "operator snapshot restore", args: "FILE", summary: "Replace the whole state of the servers by a saved one",
		help: "  All that has changed since FILE was saved is lost. FILE is checked whole, here and by the leader, before anything\n" +
			"  changes. Which servers there are is not in it, so it may be restored into a new cluster. That has to have the\n" +
			"  wrapping key of the old one: the file server/keyring/wrap.key of a server's data directory, or the keyring block\n" +
			"  of its configuration. If it has not, the recovery key of the old one is asked for, and its root keys are wrapped\n" +
			"  with the new one's wrapping key. The recovery key of the old cluster is then that of the new one.",
		example: "  nomadish operator snapshot restore /backup/state.snap\n  nomadish operator snapshot restore -recovery-key - /backup/state.snap <key",
		run:     runSnapshotRestore,
	}
}

func runSnapshotRestore(ctx context.Context, c *call) error {
	c.remoteFlags()
	keyFile := c.recoveryFlag()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	meta, _, err := verifyFile(c.args[0])
	if err != nil {
		return err
	}
	if *keyFile == "" {
		err = c.restoreFile(ctx, client, nil)
	}
	if *keyFile != "" || wantsRecoveryKey(err) {
		key, noKey := c.recoveryKey(*keyFile)
		if noKey != nil {
			return errors.Join(err, noKey)
		}
		err = c.restoreFile(ctx, client, key)
	}
	if err != nil {
		return err
	}
	return c.print("The state is that of %s, at index %d.\n", meta.Created.Format(time.RFC3339), meta.Index)
}

// restoreFile sends the snapshot that the command line names; key is nil unless it is needed.
func (c *call) restoreFile(ctx context.Context, client *api.Client, key *recovery.Key) error {
	f, err := os.Open(c.args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	var text nomadish.SecretText
	if key != nil {
		text = key.Text()
	}
	return client.Operator().RestoreSnapshot(ctx, f, text)
}

func verifyFile(name string) (snapshot.Meta, snapshot.Summary, error) {
	f, err := os.Open(name)
	if err != nil {
		return snapshot.Meta{}, snapshot.Summary{}, err
	}
	defer f.Close()
	meta, summary, err := snapshot.Verify(f)
	if err != nil {
		return meta, summary, fmt.Errorf("%s: %w", name, err)
	}
	return meta, summary, nil
}

func snapshotVerifyCommand() command {
	return command{
		words: "operator snapshot verify", args: "FILE", summary: "Check that a saved state is as it was written",
		help:    "  Needs no server.",
		exits:   "  0   it is\n  1   it is damaged, not whole, or can't be read\n  64  the command line is wrong",
		example: "  nomadish operator snapshot verify /backup/state.snap",
		run: func(_ context.Context, c *call) error {
			if err := c.parse(1, 1); err != nil {
				return err
			}
			meta, summary, err := verifyFile(c.args[0])
			if err != nil {
				return err
			}
			return c.print("%s is whole: the state at index %d, %d bytes.\n", c.args[0], meta.Index, summary.Bytes)
		},
	}
}

func snapshotInspectCommand() command {
	return command{
		words: "operator snapshot inspect", args: "FILE", summary: "Show what a saved state is of, and how large its tables are",
		help:    "  Needs no server. The whole file is checked.",
		example: "  nomadish operator snapshot inspect -json /backup/state.snap",
		reads:   true,
		run:     runSnapshotInspect,
	}
}

// inspection is what inspect shows.
type inspection struct {
	snapshot.Meta
	snapshot.Summary
}

func runSnapshotInspect(_ context.Context, c *call) error {
	c.outputFlags()
	if err := c.parse(1, 1); err != nil {
		return err
	}
	meta, summary, err := verifyFile(c.args[0])
	if err != nil {
		return err
	}
	return c.show(inspection{meta, summary}, func(p *page) {
		p.fields(
			[2]string{"Created", meta.Created.Format(time.RFC3339)},
			[2]string{"Version", meta.Version},
			[2]string{"Region", meta.Region},
			[2]string{"Cluster", meta.ClusterID},
			[2]string{"Index", strconv.FormatUint(meta.Index, 10)},
			[2]string{"Term", strconv.FormatUint(meta.Term, 10)},
			[2]string{"Level", strconv.FormatUint(uint64(meta.Level), 10)},
			[2]string{"State hash", meta.StateHash},
			[2]string{"Bytes", strconv.FormatInt(summary.Bytes, 10)},
		)
		rows := make([][]string, len(summary.Tables))
		for i, t := range summary.Tables {
			rows[i] = []string{t.Name, strconv.Itoa(t.Rows), strconv.FormatInt(t.Bytes, 10)}
		}
		p.title("Tables")
		p.table([]string{"Table", "Rows", "Bytes"}, rows)
	})
}
