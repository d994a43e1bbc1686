package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeSnapshot(t testing.TB, s *snapshots, index uint64, content []byte) {
	t.Helper()
	sink, err := s.Create(1, index, 2, voters([]string{"s1", "s2"}), index-1, nil)
	must(t, err)
	_, err = sink.Write(content)
	must(t, err)
	must(t, sink.Close())
}

// content is longer than two parts.
func content() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 2*snapshotPart+1000)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// What was written is read back, the newest snapshots are kept, and one that was not finished is none.
func TestSnapshots(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"os": vfs.OS{}, "mem": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "snapshots")
			s, err := openSnapshots(fsys, dir)
			must(t, err)
			for i := range uint64(4) {
				writeSnapshot(t, s, 9+i, content()[i:])
			}
			if _, err := s.Create(1, 11, 3, raft.Configuration{}, 1, nil); err == nil {
				t.Error("a snapshot is begun that is older than one that is there")
			}
			sink, err := s.Create(1, 100, 2, raft.Configuration{}, 1, nil)
			must(t, err)
			must(t, sink.Cancel())
			_, err = s.Create(1, 101, 2, raft.Configuration{}, 1, nil) // a crash leaves it
			must(t, err)
			s, err = openSnapshots(fsys, dir)
			must(t, err)
			metas, err := s.List()
			must(t, err)
			var indexes []uint64
			for _, m := range metas {
				indexes = append(indexes, m.Index)
			}
			if diff := cmp.Diff(indexes, []uint64{12, 11}); diff != "" {
				t.Errorf("snapshots (-got +want):\n%s", diff)
			}
			meta, r, err := s.Open(metas[0].ID)
			must(t, err)
			got, err := io.ReadAll(r)
			must(t, errors.Join(err, r.Close()))
			if !bytes.Equal(got, content()[3:]) || meta.Size != int64(len(got)) {
				t.Errorf("%d bytes, %d announced, differ from the %d written", len(got), meta.Size, len(content())-3)
			}
			if diff := cmp.Diff(meta.Configuration, voters([]string{"s1", "s2"})); diff != "" || meta.ConfigurationIndex != 11 || meta.Term != 2 {
				t.Errorf("description %+v", meta)
			}
			names, err := fsys.ReadDir(dir)
			must(t, err)
			if len(names) != 2 {
				t.Errorf("files %q, want two", names)
			}
		})
	}
}

// A damaged snapshot is refused before any of its bytes are given, wherever the damage is.
func TestDamagedSnapshot(t *testing.T) {
	mem := vfs.NewMem()
	s, err := openSnapshots(mem, "d")
	must(t, err)
	writeSnapshot(t, s, 9, content())
	id := fmt.Sprintf(snapshotName, 9, 2)
	whole, err := vfs.ReadFile(mem, filepath.Join("d", id), 1<<30)
	must(t, err)
	for i := range 300 {
		rng := rand.New(rand.NewPCG(uint64(i), 6))
		b := bytes.Clone(whole)
		at := rng.IntN(len(b))
		if i < 100 {
			at = i * 4 // the description and the first part's header
		}
		switch rng.IntN(3) {
		case 0:
			b[at] ^= 1 << rng.IntN(8)
		case 1:
			b = b[:at]
		case 2:
			b = append(b[:at:at], b[min(at+512, len(b)):]...)
		}
		must(t, vfs.WriteFile(mem, filepath.Join("d", id), b))
		_, r, err := s.Open(id)
		if err == nil {
			r.Close()
			t.Fatalf("mutation %d at %d: opens", i, at)
		}
	}
}

// A server does not start with a damaged snapshot, nor with a log that does not go on from it.
func TestDataThatDoesNotFit(t *testing.T) {
	fill := func(t *testing.T, snapshot, first, last uint64) *vfs.Mem {
		mem := vfs.NewMem()
		s, err := openSnapshots(mem, "d/snapshots")
		must(t, err)
		if snapshot > 0 {
			writeSnapshot(t, s, snapshot, content())
		}
		l, err := logstore.Open(logstore.Config{FS: mem, Dir: "d/raft"})
		must(t, err)
		for i := first; i <= last; i++ {
			must(t, l.StoreLog(&raft.Log{Index: i, Term: 1, Type: raft.LogNoop}))
		}
		must(t, l.Close())
		return mem
	}
	for _, tt := range []struct {
		name                  string
		snapshot, first, last uint64
		damaged, refused      bool
		left                  uint64 // newest entry of the log
	}{
		{name: "no snapshot", first: 1, last: 5, left: 5},
		{name: "log goes on", snapshot: 3, first: 4, last: 5, left: 5},
		{name: "log overlaps", snapshot: 3, first: 2, last: 5, left: 5},
		{name: "gap", snapshot: 3, first: 5, last: 6, refused: true},
		{name: "snapshot missing", first: 5, last: 6, refused: true},
		{name: "log ends before", snapshot: 9, first: 1, last: 6, left: 0},
		{name: "damaged", snapshot: 3, first: 1, last: 6, damaged: true, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := fill(t, tt.snapshot, tt.first, tt.last)
			if tt.damaged {
				f, err := mem.OpenFile(filepath.Join("d/snapshots", fmt.Sprintf(snapshotName, tt.snapshot, 2)), os.O_RDWR, 0)
				must(t, err)
				_, err = f.WriteAt([]byte("damage"), 5000)
				must(t, err)
			}
			c, err := New(Config{ID: "s1", Dir: "d", FS: mem}, newFSM(), nil)
			var damage *logstore.CorruptError
			if tt.refused {
				if !errors.As(err, &damage) {
					t.Errorf("%v, want a CorruptError", err)
				}
				return
			}
			must(t, err)
			if last, err := c.log.LastIndex(); err != nil || last != tt.left {
				t.Errorf("log ends at %d, %v, want %d", last, err, tt.left)
			}
			must(t, c.Close())
		})
	}
}
