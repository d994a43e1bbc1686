package logstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// rounds is how often a test tries: NOMADISH_SOAK=1 makes it many times.
func rounds(usual, soak int) int {
	switch {
	case os.Getenv("NOMADISH_SOAK") != "":
		return soak
	case testing.Short():
		return usual / 10
	}
	return usual
}

// filled returns a disk with a log of several files whose head was deleted and whose tail was replaced,
// and what is in it.
func filled(t *testing.T) (*vfs.Mem, []*raft.Log) {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, mem)
	for i := uint64(1); i <= 100; i += 5 {
		must(t, s.StoreLogs(entries(i, i+4, 1)))
		must(t, s.SetUint64([]byte("CurrentTerm"), i))
	}
	must(t, s.DeleteRange(1, 30))
	must(t, s.DeleteRange(81, 100))
	must(t, s.StoreLogs(entries(81, 90, 2)))
	must(t, s.Set([]byte("LastVoteCand"), []byte("s2")))
	must(t, s.Close())
	return mem, append(entries(31, 80, 1), entries(81, 90, 2)...)
}

// Whatever is done to one page of one file, the store opens with everything that was acknowledged, or says
// that it is damaged.
func TestMutate(t *testing.T) {
	disk, want := filled(t)
	names, err := disk.ReadDir(dir)
	must(t, err)
	n := rounds(1000, 20000)
	detected := 0
	for i := range n {
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		damaged := disk.Clone()
		what := mutate(t, damaged, names[rng.IntN(len(names))], rng)
		if refuses(t, what, damaged, want) {
			detected++
		}
	}
	t.Logf("%d mutations: %d refused, %d without effect", n, detected, n-detected)
}

// mutate damages a file in one way and says how.
func mutate(t *testing.T, disk *vfs.Mem, base string, rng *rand.Rand) string {
	t.Helper()
	name := filepath.Join(dir, base)
	if rng.IntN(50) == 0 {
		must(t, disk.Remove(name))
		return "removed " + base
	}
	f, err := disk.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	size, err := f.Size()
	must(t, err)
	pageSize := []int64{512, 4096}[rng.IntN(2)]
	off := rng.Int64N((size+pageSize-1)/pageSize) * pageSize
	page := make([]byte, min(pageSize, size-off))
	_, err = f.ReadAt(page, off)
	must(t, err)
	switch kind := rng.IntN(5); kind {
	case 0:
		clear(page)
	case 1:
		for i := range page {
			page[i] = byte(rng.Uint32())
		}
	case 2:
		page[rng.IntN(len(page))] ^= 1 << rng.IntN(8)
	case 3: // another page in its place
		_, err = f.ReadAt(page, rng.Int64N(size/int64(len(page)))*int64(len(page)))
		must(t, err)
	case 4:
		must(t, f.Truncate(rng.Int64N(size)))
		return fmt.Sprintf("cut %s", base)
	}
	_, err = f.WriteAt(page, off)
	must(t, err)
	return fmt.Sprintf("changed %s at %d", base, off)
}

// refuses says whether the store does not open, and checks its content otherwise.
func refuses(t *testing.T, what string, disk *vfs.Mem, want []*raft.Log) bool {
	t.Helper()
	s, err := logstore.Open(logstore.Config{FS: disk, Dir: dir, SegmentSize: 8 << 10})
	var damage *logstore.CorruptError
	if errors.As(err, &damage) {
		return true
	}
	if err != nil {
		t.Fatalf("%s: %v, want a CorruptError", what, err)
	}
	defer func() { must(t, s.Close()) }()
	if diff := diff(read(t, s), want); diff != "" {
		t.Fatalf("%s: silently different (-got +want):\n%s", what, diff)
	}
	term, err := s.GetUint64([]byte("CurrentTerm"))
	must(t, err)
	vote, err := s.Get([]byte("LastVoteCand"))
	must(t, err)
	if term != 96 || string(vote) != "s2" {
		t.Fatalf("%s: term %d, vote %q, want 96 and s2", what, term, vote)
	}
	return false
}

// Damage that comes while the store is open is never served.
func TestMutateOpen(t *testing.T) {
	disk, want := filled(t)
	names, err := disk.ReadDir(dir)
	must(t, err)
	for i := range rounds(200, 4000) {
		rng := rand.New(rand.NewPCG(uint64(i), 4))
		damaged := disk.Clone()
		s := open(t, damaged)
		what := mutate(t, damaged, names[rng.IntN(len(names))], rng)
		for _, w := range want {
			got := new(raft.Log)
			err := s.GetLog(w.Index, got)
			var damage *logstore.CorruptError
			if errors.As(err, &damage) {
				if damage.Index != w.Index {
					t.Fatalf("%s: %v, want it to name entry %d", what, err, w.Index)
				}
				if err := s.StoreLog(entry(91, 2)); !errors.As(err, &damage) {
					t.Fatalf("%s: append after the damage was found: %v, want the damage", what, err)
				}
				break
			}
			if err != nil {
				t.Fatalf("%s: entry %d: %v, want a CorruptError", what, w.Index, err)
			}
			if diff := diff([]*raft.Log{got}, []*raft.Log{w}); diff != "" {
				t.Fatalf("%s: silently different (-got +want):\n%s", what, diff)
			}
		}
	}
}

// Whenever the power is cut, and whatever is lost of what was not synced: acknowledged entries are there,
// deleted ones are not asked for, and term and vote are those set last, or those being set.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(rounds(300, 10000)) {
		p := powerCut{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 5)), disk: vfs.NewMem(), term: 1}
		for range 4 {
			p.live()
		}
	}
}

// powerCut is one history of a disk.
type powerCut struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	disk *vfs.Mem

	first, last      uint64 // of the entries that must be there
	terms            map[uint64]uint64
	gone             uint64 // entries up to here may be deleted
	term             uint64 // that of entries
	vote, voteTrying uint64
}

var errPower = errors.New("power is cut")

// live opens the store, checks it, and uses it until the power goes.
func (p *powerCut) live() {
	calls := 0
	until := p.rng.IntN(150)
	var after *vfs.Mem
	before := p.disk
	fsys := vfs.WithHook(before, func(op vfs.Op, _ string) error {
		if op == vfs.OpRead || after != nil {
			return nil
		}
		if calls++; calls > until {
			after = before.Crash(p.rng)
			return errPower
		}
		return nil
	})
	s, err := logstore.Open(logstore.Config{FS: fsys, Dir: dir, SegmentSize: 4 << 10})
	if err == nil {
		p.check(s)
		for err == nil {
			err = p.step(s)
		}
	}
	if after == nil {
		p.t.Fatalf("seed %d: %v before the power was cut", p.seed, err)
	}
	p.disk = after
}

// check compares the store with what must be in it, and goes on from what is.
func (p *powerCut) check(s *logstore.Store) {
	p.t.Helper()
	if p.terms == nil {
		p.terms = map[uint64]uint64{}
	}
	logs := read(p.t, s)
	byIndex := map[uint64]*raft.Log{}
	for _, l := range logs {
		byIndex[l.Index] = l
	}
	for i := max(p.first, p.gone+1); i <= p.last && p.last > 0; i++ {
		if diff := diff([]*raft.Log{byIndex[i]}, entries(i, i, p.terms[i])); diff != "" {
			p.t.Fatalf("seed %d: entry %d of %d to %d (-got +want):\n%s", p.seed, i, p.first, p.last, diff)
		}
	}
	vote, err := s.GetUint64([]byte("CurrentTerm"))
	must(p.t, err)
	if vote != p.vote && vote != p.voteTrying {
		p.t.Fatalf("seed %d: term %d, want %d or %d", p.seed, vote, p.vote, p.voteTrying)
	}
	p.vote = vote
	p.first, p.last, p.gone = 0, 0, 0
	for _, l := range logs {
		p.terms[l.Index] = l.Term
	}
	if n := len(logs); n > 0 {
		p.first, p.last = logs[0].Index, logs[n-1].Index
	}
}

// step does one thing, and notes it where it was acknowledged.
func (p *powerCut) step(s *logstore.Store) error {
	switch p.rng.IntN(12) {
	case 0:
		p.voteTrying = p.vote + 1
		if err := s.SetUint64([]byte("CurrentTerm"), p.voteTrying); err != nil {
			return err
		}
		p.vote = p.voteTrying
		return nil
	case 1:
		if p.last-p.first < 2 || p.last == 0 {
			return nil
		}
		p.gone = p.first + p.rng.Uint64N(p.last-p.first)
		if err := s.DeleteRange(p.first, p.gone); err != nil {
			return err
		}
		p.first = p.gone + 1
		return nil
	case 2:
		if p.last-p.first < 2 || p.last == 0 {
			return nil
		}
		from, to := p.first+1+p.rng.Uint64N(p.last-p.first), p.last
		p.last = from - 1
		p.term++
		return s.DeleteRange(from, to)
	case 3:
		if p.rng.IntN(4) > 0 || p.last == 0 {
			return nil
		}
		from, to := p.first, p.last
		p.first, p.last = 0, 0
		p.term++
		return s.DeleteRange(from, to)
	default:
		return p.append(s)
	}
}

func (p *powerCut) append(s *logstore.Store) error {
	next := p.last + 1
	if p.last == 0 {
		next = 1 + p.rng.Uint64N(1000)
	}
	end := next + p.rng.Uint64N(4)
	if err := s.StoreLogs(entries(next, end, p.term)); err != nil {
		return err
	}
	for i := next; i <= end; i++ {
		p.terms[i] = p.term
	}
	if p.last == 0 {
		p.first = next
	}
	p.last = end
	return nil
}
