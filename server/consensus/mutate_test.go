package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish/snapshot"
	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// mutateShare is how many of a thousand mutations a test tries: NOMADISH_SOAK=1 makes it all.
func mutateShare() int {
	if os.Getenv("NOMADISH_SOAK") != "" {
		return 1000
	}
	return 2
}

// mutation is one way to damage one file.
type mutation struct {
	what string
	do   func(content []byte) []byte // of its own copy
}

// mutations lists the ways to damage a file: every page of 512 and of 4096 bytes zeroed, made random, with a
// bit flipped, and as it was earlier; and every length that it can be cut to, in its last bytes and sparsely
// before them.
func mutations(content []byte, earlier [][]byte, rng *rand.Rand) iter.Seq[mutation] {
	return func(yield func(mutation) bool) {
		for _, size := range []int{512, 4096} {
			for off := 0; off < len(content); off += size {
				for _, m := range pageMutations(off, min(off+size, len(content)), earlier, rng) {
					if !yield(m) {
						return
					}
				}
			}
		}
		for cut := 0; cut < len(content); cut++ {
			if cut < len(content)-64<<10 {
				cut += 100 + rng.IntN(1000)
			}
			if !yield(mutation{fmt.Sprintf("cut to %d bytes", cut), func(b []byte) []byte { return b[:min(cut, len(b))] }}) {
				return
			}
		}
	}
}

func pageMutations(from, to int, earlier [][]byte, rng *rand.Rand) []mutation {
	on := func(kind string, change func(page []byte)) mutation {
		return mutation{fmt.Sprintf("%s at %d to %d", kind, from, to), func(b []byte) []byte {
			change(b[from:to])
			return b
		}}
	}
	seed, bit := rng.Uint64(), rng.IntN((to-from)*8)
	all := []mutation{
		on("zeroed", func(p []byte) { clear(p) }),
		on("random", func(p []byte) {
			r := rand.New(rand.NewPCG(seed, 0))
			for i := range p {
				p[i] = byte(r.Uint32())
			}
		}),
		on("a bit flipped", func(p []byte) { p[bit/8] ^= 1 << (bit % 8) }),
	}
	for i, old := range earlier {
		if len(old) > from {
			all = append(all, on(fmt.Sprintf("as %d versions ago", i+1), func(p []byte) { copy(p, old[from:]) }))
		}
	}
	return all
}

// kept is what a server's data holds that opened.
type kept struct {
	Logs      []raft.Log
	Vote      string
	Term      uint64
	Snapshots map[string][]byte
}

// data makes a server's data with acknowledged entries, a vote and two snapshots; earlier are the disk's
// states on the way there.
func data(t *testing.T) (disk *vfs.Mem, earlier []*vfs.Mem) {
	t.Helper()
	disk = vfs.NewMem()
	c, err := New(mutateConfig(disk), fsm.New(state.New(), fsm.Config{}), nil)
	must(t, err)
	rng := rand.New(rand.NewPCG(7, 7))
	for i := uint64(1); i <= 120; i++ {
		must(t, c.log.Store.StoreLog(&raft.Log{Index: i, Term: 1 + i/50, Type: raft.LogCommand, Data: fill(rng, 100+rng.IntN(600)), AppendedAt: time.Unix(int64(i), 0)}))
		switch {
		case i%40 == 0:
			must(t, c.log.Store.SetUint64([]byte("CurrentTerm"), 1+i/50))
			must(t, c.log.Store.Set([]byte("LastVoteCand"), fmt.Appendf(nil, "s%d", i)))
			writeSnapshot(t, c.snaps, i, fill(rng, 20_000))
		case i%25 == 0:
			earlier = append(earlier, disk.Clone())
		}
	}
	must(t, c.log.Store.DeleteRange(1, 60))
	must(t, c.Close())
	slices.Reverse(earlier)
	return disk, earlier
}

func fill(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func mutateConfig(disk vfs.FS) Config {
	return Config{ID: "s1", Dir: "server", FS: disk, SegmentSize: 16 << 10}
}

// look opens a server's data and returns all of it, or the damage that is refused, or found on reading.
func look(disk vfs.FS) (kept, error) {
	k := kept{Snapshots: map[string][]byte{}}
	c, err := New(mutateConfig(disk), fsm.New(state.New(), fsm.Config{}), nil)
	if err != nil {
		return k, err
	}
	k, err = c.everything()
	return k, errors.Join(err, c.Close())
}

func (c *Consensus) everything() (kept, error) {
	k := kept{Snapshots: map[string][]byte{}}
	first, _ := c.log.FirstIndex() // neither ever fails
	last, _ := c.log.LastIndex()
	for i := first; i <= last && i > 0; i++ {
		var l raft.Log
		if err := c.log.Store.GetLog(i, &l); err != nil {
			return k, err
		}
		k.Logs = append(k.Logs, l)
	}
	vote, err := c.log.Get([]byte("LastVoteCand"))
	if err != nil {
		return k, err
	}
	if k.Term, err = c.log.GetUint64([]byte("CurrentTerm")); err != nil {
		return k, err
	}
	k.Vote = string(vote)
	names, err := c.snaps.names()
	if err != nil {
		return k, err
	}
	for _, name := range names {
		_, r, err := c.snaps.Open(name)
		if err != nil {
			return k, err
		}
		k.Snapshots[name], err = io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return k, err
		}
	}
	return k, nil
}

func readAll(t *testing.T, disk vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(disk, name, 1<<30)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	return b
}

func overwrite(t *testing.T, disk vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := vfs.Create(disk, name)
	must(t, err)
	_, err = f.WriteAt(content, 0)
	must(t, errors.Join(err, f.Close()))
}

// Whatever is done to one page or the length of one file of a server's data (log, mark, vote, snapshots): it
// opens with everything that was acknowledged, or it is refused with the name of the file.
func TestMutations(t *testing.T) {
	disk, earlier := data(t)
	want, err := look(disk.Clone())
	must(t, err)
	if len(want.Logs) < 60 || len(want.Snapshots) != 2 || want.Vote == "" {
		t.Fatalf("%d entries, %d snapshots, vote %q", len(want.Logs), len(want.Snapshots), want.Vote)
	}
	rng, n, refused := rand.New(rand.NewPCG(3, uint64(mutateShare()))), 0, 0
	for _, dir := range []string{"server/raft", "server/snapshots"} {
		names, err := disk.ReadDir(dir)
		must(t, err)
		for _, base := range names {
			name := filepath.Join(dir, base)
			var old [][]byte
			for _, e := range earlier {
				if b := readAll(t, e, name); b != nil {
					old = append(old, b)
				}
			}
			content := readAll(t, disk, name)
			for m := range mutations(content, old, rng) {
				if rng.IntN(1000) >= mutateShare() {
					continue
				}
				n++
				damaged := disk.Clone()
				overwrite(t, damaged, name, m.do(slices.Clone(content)))
				if checkMutation(t, name+" "+m.what, name, damaged, want) {
					refused++
				}
			}
		}
	}
	t.Logf("%d mutations: %d refused, %d without effect", n, refused, n-refused)
	if mutateShare() == 1000 && n < 20_000 {
		t.Errorf("%d mutations, fewer than 20000", n)
	}
}

// checkMutation says whether damaged data is refused, and fails the test if it is silently another.
func checkMutation(t *testing.T, what, name string, damaged vfs.FS, want kept) bool {
	t.Helper()
	got, err := look(damaged)
	if err == nil {
		if !reflect.DeepEqual(want, got) { // much faster than cmp
			t.Fatalf("%s: silently different (-want +got):\n%s", what, cmp.Diff(want, got))
		}
		return false
	}
	var damage *logstore.CorruptError
	if !errors.As(err, &damage) && !strings.Contains(err.Error(), "is not known to this version") {
		t.Fatalf("%s: %v, want a CorruptError", what, err)
	}
	if !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), filepath.Dir(name)) {
		t.Fatalf("%s: %v does not name %s", what, err, name)
	}
	return true
}

// A file to which the state was saved is as it was written, or it is refused.
func TestSavedFileMutations(t *testing.T) {
	var whole bytes.Buffer
	w, err := snapshot.NewWriter(&whole, snapshot.Meta{Index: 7, Region: "global"})
	must(t, err)
	rng, n := rand.New(rand.NewPCG(5, uint64(mutateShare()))), 0
	_, err = w.Write(fill(rng, 300<<10))
	must(t, err)
	must(t, w.Close(nil))
	for m := range mutations(whole.Bytes(), [][]byte{make([]byte, whole.Len())}, rng) {
		if rng.IntN(1000) >= min(100, mutateShare()) {
			continue
		}
		damaged := m.do(slices.Clone(whole.Bytes()))
		if bytes.Equal(damaged, whole.Bytes()) {
			continue
		}
		n++
		if _, _, err := snapshot.Verify(bytes.NewReader(damaged)); !errors.Is(err, snapshot.ErrDamaged) {
			t.Fatalf("%s: %v, want ErrDamaged", m.what, err)
		}
	}
	t.Logf("%d mutations refused", n)
}

// An append that was not acknowledged when the power went, whole or torn, takes nothing with it that was.
func TestTornTails(t *testing.T) {
	disk, _ := data(t)
	want, err := look(disk.Clone())
	must(t, err)
	after := disk.Clone()
	c, err := New(mutateConfig(after), fsm.New(state.New(), fsm.Config{}), nil)
	must(t, err)
	rng := rand.New(rand.NewPCG(9, uint64(mutateShare())))
	next := want.Logs[len(want.Logs)-1].Index + 1
	var tail []*raft.Log
	for i := range uint64(4) {
		tail = append(tail, &raft.Log{Index: next + i, Term: 9, Type: raft.LogCommand, Data: fill(rng, 300)})
	}
	must(t, c.log.Store.StoreLogs(tail))
	must(t, c.Close())
	segments, err := after.ReadDir("server/raft")
	must(t, err)
	name := filepath.Join("server/raft", slices.Max(slices.DeleteFunc(segments, func(n string) bool { return !strings.HasSuffix(n, ".log") })))
	begins, content, mark := len(bytes.TrimRight(readAll(t, disk, name), "\x00")), readAll(t, after, name), readAll(t, disk, "server/raft/mark")
	n := 0
	for m := range mutations(content[begins:], nil, rng) {
		if rng.IntN(1000) >= mutateShare()*5 {
			continue
		}
		n++
		torn := after.Clone()
		overwrite(t, torn, "server/raft/mark", mark) // what was noted last is lost with the power
		overwrite(t, torn, name, append(slices.Clone(content[:begins]), m.do(slices.Clone(content[begins:]))...))
		got, err := look(torn)
		if err != nil {
			t.Fatalf("%s: %v: nothing acknowledged is damaged", m.what, err)
		}
		if len(got.Logs) < len(want.Logs) {
			t.Fatalf("%s: %d entries of %d", m.what, len(got.Logs), len(want.Logs))
		}
		for i, l := range got.Logs[len(want.Logs):] {
			if !bytes.Equal(l.Data, tail[i].Data) {
				t.Fatalf("%s: entry %d is not the one that was appended", m.what, l.Index)
			}
		}
		got.Logs = got.Logs[:len(want.Logs)]
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("%s: silently different (-want +got):\n%s", m.what, cmp.Diff(want, got))
		}
	}
	t.Logf("%d torn tails", n)
}
