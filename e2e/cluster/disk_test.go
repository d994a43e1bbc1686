//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// A server whose disk is full says so to who writes, goes on answering reads, and goes on by itself when
// there is room.
func TestFullDisk(t *testing.T) {
	lab := newLab(t, Config{Server: true, DiskMB: 150})
	server := lab.Servers()[0]
	running, end := load(t, lab, "full")
	must(t, acked(testContext(t), running, 50))
	must(t, server.FillDisk())
	must(t, machine.Until(testContext(t), "a write is refused", func(ctx context.Context) error {
		v := &nomadish.Variable{Items: nomadish.VariableItems{"value": strings.Repeat("x", 60<<10)}}
		v.Path = "large"
		_, err := server.API.Variables().Set(ctx, v, nil)
		if err == nil {
			return errors.New("it is taken")
		}
		if !strings.Contains(err.Error(), "full") && !strings.Contains(err.Error(), "space") {
			return fmt.Errorf("the reason is no reason: %w", err)
		}
		t.Logf("a write is answered: %v", err)
		return nil
	}))
	path := running.newest()
	if _, _, err := server.API.Variables().Variable(testContext(t), path, nil); err != nil {
		t.Errorf("a read, with a full disk: %v", err)
	}
	must(t, server.FreeDisk())
	must(t, acked(testContext(t), running, 50))
	h := end()
	checkLoad(t, lab, "full", h, 100)
	must(t, server.Kill())
	must(t, server.Start())
	must(t, lab.Ready(testContext(t)))
	checkLoad(t, lab, "full", h, 100)
}

// A full disk on one server of three costs nobody a write, be that server the leader or not.
func TestFullDiskOfOneServer(t *testing.T) {
	one := Config{Server: true, DiskMB: 150}
	lab := newLab(t, one, one, one)
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			running, end := load(t, lab, "full-"+who)
			full, err := lab.Leader(testContext(t))
			must(t, err)
			if who == "follower" {
				full = lab.Others(full)[0]
			}
			must(t, acked(testContext(t), running, 50))
			must(t, full.FillDisk())
			must(t, acked(testContext(t), running, 300))
			must(t, full.FreeDisk())
			must(t, lab.Ready(testContext(t)))
			must(t, acked(testContext(t), running, 50))
			checkLoad(t, lab, "full-"+who, end(), 400)
		})
	}
}

// A log in which something that was acknowledged is damaged is not served: the server says which file it is
// and what to do, and does not start. The others go on; when that is done it gets everything from them.
func TestDamagedLog(t *testing.T) {
	lab := newLab(t, cluster(0)...)
	running, end := load(t, lab, "damaged")
	must(t, acked(testContext(t), running, 200))
	leader, err := lab.Leader(testContext(t))
	must(t, err)
	damaged := lab.Others(leader)[0]
	must(t, damaged.Kill())
	file, err := damage(filepath.Join(damaged.DataDir(), "server"))
	must(t, err)
	must(t, damaged.Start())
	must(t, damaged.Ends(testContext(t)))
	if said := damaged.LogTail(1 << 10); damaged.ExitCode() <= 0 || !strings.Contains(said, file+" is damaged") {
		t.Errorf("with damage in %s it ended with code %d and said: %s", file, damaged.ExitCode(), said)
	}
	must(t, acked(testContext(t), running, 50))
	out, err := damaged.CLI(testContext(t), "operator", "recover", "-data-dir", damaged.DataDir(), "-discard")
	must(t, err)
	t.Logf("recover: %s", out)
	must(t, damaged.Start())
	must(t, lab.Ready(testContext(t)))
	must(t, acked(testContext(t), running, 50))
	checkLoad(t, lab, "damaged", end(), 300)
}

// damage flips a bit of something that was written to the log, in the middle of its newest file.
func damage(dir string) (file string, err error) {
	var newest fs.FileInfo
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "raft") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > 16<<10 && (newest == nil || info.ModTime().After(newest.ModTime())) {
			newest, file = info, path
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if file == "" {
		return "", fmt.Errorf("%s: no log", dir)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	// The file may be longer than what was written: of the written part, a place in the middle.
	written := len(bytes.TrimRight(content, "\x00"))
	place := bytes.Index(content[written/2:], []byte("damaged/w"))
	if place < 0 {
		return "", fmt.Errorf("%s: %d bytes without a write of the load", file, written)
	}
	content[written/2+place] ^= 1
	return file, os.WriteFile(file, content, 0o600)
}
