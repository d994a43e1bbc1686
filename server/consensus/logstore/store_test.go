package logstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

const dir = "raft"

func open(t testing.TB, fsys vfs.FS) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(logstore.Config{FS: fsys, Dir: dir, SegmentSize: 8 << 10})
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entry makes the entry of an index; the same for the same index and term.
func entry(index, term uint64) *raft.Log {
	rng := rand.New(rand.NewPCG(index, term))
	l := &raft.Log{Index: index, Term: term, Type: raft.LogCommand}
	if index%7 == 0 {
		l.Type = raft.LogNoop
	} else {
		l.Data = make([]byte, 1+rng.IntN(1000))
		for i := range l.Data {
			l.Data[i] = byte(rng.Uint32())
		}
		l.AppendedAt = time.Unix(1700000000, int64(index))
	}
	if index%5 == 0 {
		l.Extensions = []byte("ext")
	}
	return l
}

func entries(from, to, term uint64) []*raft.Log {
	var logs []*raft.Log
	for i := from; i <= to; i++ {
		logs = append(logs, entry(i, term))
	}
	return logs
}

// read returns all entries of a store.
func read(t testing.TB, s *logstore.Store) []*raft.Log {
	t.Helper()
	first, err := s.FirstIndex()
	must(t, err)
	last, err := s.LastIndex()
	must(t, err)
	var logs []*raft.Log
	for i := first; i <= last && i > 0; i++ {
		l := new(raft.Log)
		must(t, s.GetLog(i, l))
		logs = append(logs, l)
	}
	return logs
}

// diff is cmp.Diff, but quick where there is none.
func diff(got, want []*raft.Log) string {
	if slices.EqualFunc(got, want, same) {
		return ""
	}
	return cmp.Diff(got, want)
}

func same(a, b *raft.Log) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && a.AppendedAt.Equal(b.AppendedAt) &&
		bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Extensions, b.Extensions)
}

// What is stored is read back, with and without a restart in between, whatever was deleted before.
func TestEntries(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, s *logstore.Store)
		want []*raft.Log
	}{
		{"none", func(*testing.T, *logstore.Store) {}, nil},
		{"one batch", func(t *testing.T, s *logstore.Store) {}, entries(1, 50, 1)},
		{"many batches", func(t *testing.T, s *logstore.Store) {
			for i := uint64(51); i <= 100; i++ {
				must(t, s.StoreLog(entry(i, 1)))
			}
		}, entries(1, 100, 1)},
		{"head deleted", func(t *testing.T, s *logstore.Store) { must(t, s.DeleteRange(1, 30)) }, entries(31, 50, 1)},
		{"tail replaced", func(t *testing.T, s *logstore.Store) {
			must(t, s.DeleteRange(20, 50))
			must(t, s.StoreLogs(entries(20, 60, 2)))
		}, append(entries(1, 19, 1), entries(20, 60, 2)...)},
		{"tail of one", func(t *testing.T, s *logstore.Store) {
			must(t, s.DeleteRange(50, 99))
			must(t, s.StoreLog(entry(50, 2)))
		}, append(entries(1, 49, 1), entry(50, 2))},
		{"all deleted", func(t *testing.T, s *logstore.Store) { must(t, s.DeleteRange(1, 50)) }, nil},
		{"all replaced", func(t *testing.T, s *logstore.Store) {
			must(t, s.DeleteRange(0, 60))
			must(t, s.StoreLogs(entries(1001, 1040, 3)))
		}, entries(1001, 1040, 3)},
		{"nothing to delete", func(t *testing.T, s *logstore.Store) {
			must(t, s.DeleteRange(60, 70))
			must(t, s.DeleteRange(3, 2))
		}, entries(1, 50, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			s := open(t, fsys)
			if tt.name != "none" {
				must(t, s.StoreLogs(entries(1, 50, 1)))
			}
			tt.do(t, s)
			if diff := diff(read(t, s), tt.want); diff != "" {
				t.Errorf("before the restart (-got +want):\n%s", diff)
			}
			must(t, s.Close())
			s = open(t, fsys)
			if diff := diff(read(t, s), tt.want); diff != "" {
				t.Errorf("after the restart (-got +want):\n%s", diff)
			}
			must(t, s.Close())
		})
	}
}

// What can't be stored or deleted is refused with the reason, and changes nothing.
func TestRefused(t *testing.T) {
	s := open(t, vfs.NewMem())
	must(t, s.StoreLogs(entries(1, 10, 1)))
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"gap", s.StoreLog(entry(12, 1)), "append of entry 12 where 11 is next"},
		{"again", s.StoreLog(entry(10, 1)), "append of entry 10 where 11 is next"},
		{"gap in batch", s.StoreLogs([]*raft.Log{entry(11, 1), entry(13, 1)}), "append of entry 13 where 12 is next"},
		{"too large", s.StoreLog(&raft.Log{Index: 11, Data: make([]byte, logstore.EntryLimit)}), "more than 16777216"},
		{"middle", s.DeleteRange(3, 4), "neither the oldest nor the newest of 1 to 10"},
		{"missing", s.GetLog(11, new(raft.Log)), raft.ErrLogNotFound.Error()},
		{"zero", s.GetLog(0, new(raft.Log)), raft.ErrLogNotFound.Error()},
		{"value too large", s.Set([]byte("k"), make([]byte, 5000)), "more than 4064"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, tt.err, tt.want)
		}
	}
	if diff := diff(read(t, s), entries(1, 10, 1)); diff != "" {
		t.Errorf("entries (-got +want):\n%s", diff)
	}
}

// LastOfType passes over entries of other types, within the log's bounds.
func TestLastOfType(t *testing.T) {
	s := open(t, vfs.NewMem())
	must(t, s.StoreLogs(entries(1, 21, 1))) // 7, 14 and 21 are no commands
	for _, tt := range []struct {
		typ         raft.LogType
		index, want uint64
	}{
		{raft.LogCommand, 100, 20},
		{raft.LogCommand, 20, 20},
		{raft.LogCommand, 14, 13},
		{raft.LogNoop, 20, 14},
		{raft.LogNoop, 6, 0},
		{raft.LogCommand, 0, 0},
	} {
		if got := s.LastOfType(tt.typ, tt.index); got != tt.want {
			t.Errorf("type %v up to %d: %d, want %d", tt.typ, tt.index, got, tt.want)
		}
	}
}

// Term and vote are what was set last, also after a restart.
func TestStable(t *testing.T) {
	fsys := vfs.NewMem()
	s := open(t, fsys)
	if n, err := s.GetUint64([]byte("CurrentTerm")); n != 0 || err != nil {
		t.Errorf("%d, %v of an empty store, want 0", n, err)
	}
	for i := range uint64(5) {
		must(t, s.SetUint64([]byte("CurrentTerm"), i))
		must(t, s.Set([]byte("LastVoteCand"), fmt.Append(nil, "server", i)))
	}
	must(t, s.Close())
	s = open(t, fsys)
	term, err := s.GetUint64([]byte("CurrentTerm"))
	must(t, err)
	vote, err := s.Get([]byte("LastVoteCand"))
	must(t, err)
	if term != 4 || string(vote) != "server4" {
		t.Errorf("term %d, vote %q, want 4 and server4", term, vote)
	}
}

// A full disk refuses appends and harms nothing; when there is room again, they succeed.
func TestFullDisk(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpAllocate, vfs.OpWrite, vfs.OpOpen} {
		mem, full := vfs.NewMem(), false
		s := open(t, vfs.WithHook(mem, func(o vfs.Op, name string) error {
			if full && o == op && strings.HasSuffix(name, ".log") {
				return syscall.ENOSPC
			}
			return nil
		}))
		must(t, s.StoreLogs(entries(1, 20, 1)))
		full = true
		refused := false
		next := uint64(21)
		for ; next <= 60 && !refused; next++ {
			if err := s.StoreLog(entry(next, 1)); err != nil {
				if !errors.Is(err, logstore.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("op %d: %v, want ErrFull and ENOSPC", op, err)
				}
				refused = true
				next--
			}
		}
		if !refused {
			t.Fatalf("op %d: 40 appends on a full disk", op)
		}
		must(t, s.SetUint64([]byte("CurrentTerm"), 7)) // a server goes on voting
		full = false
		must(t, s.StoreLogs(entries(next, 60, 1)))
		must(t, s.Close())
		if diff := diff(read(t, open(t, mem)), entries(1, 60, 1)); diff != "" {
			t.Errorf("op %d: entries (-got +want):\n%s", op, diff)
		}
	}
}

// After an error of the disk nothing more is accepted, and nothing is synced again.
func TestDiskErrorIsFinal(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync} {
		mem, bad, syncs := vfs.NewMem(), false, 0
		s := open(t, vfs.WithHook(mem, func(o vfs.Op, name string) error {
			if o == vfs.OpSync {
				syncs++
			}
			if bad && o == op {
				return syscall.EIO
			}
			return nil
		}))
		must(t, s.StoreLogs(entries(1, 5, 1)))
		bad = true
		if err := s.StoreLog(entry(6, 1)); !errors.Is(err, syscall.EIO) {
			t.Fatalf("append: %v, want EIO", err)
		}
		bad, syncs = false, 0
		for what, err := range map[string]error{
			"append": s.StoreLog(entry(6, 1)),
			"vote":   s.SetUint64([]byte("CurrentTerm"), 2),
			"delete": s.DeleteRange(1, 2),
		} {
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%s after the error: %v, want EIO", what, err)
			}
		}
		if syncs > 0 {
			t.Errorf("%d syncs after one that failed", syncs)
		}
		if diff := diff(read(t, s), entries(1, 5, 1)); diff != "" {
			t.Errorf("entries (-got +want):\n%s", diff)
		}
	}
}

// Entries can be read while others are appended and deleted.
func TestConcurrentReads(t *testing.T) {
	s := open(t, vfs.NewMem())
	must(t, s.StoreLogs(entries(1, 100, 1)))
	done := make(chan error, 1)
	go func() {
		var err error
		for i := uint64(101); i <= 400 && err == nil; i++ {
			err = s.StoreLog(entry(i, 1))
			if i%20 == 0 && err == nil {
				err = s.DeleteRange(1, i-80)
			}
			if i%50 == 0 && err == nil {
				if err = s.DeleteRange(i-5, i); err == nil {
					err = s.StoreLogs(entries(i-5, i, 2))
				}
			}
		}
		done <- err
	}()
	for reads := 0; ; reads++ {
		select {
		case err := <-done:
			must(t, err)
			return
		default:
		}
		last, err := s.LastIndex()
		must(t, err)
		l := new(raft.Log)
		index := last - uint64(reads%90)
		if err := s.GetLog(index, l); errors.Is(err, raft.ErrLogNotFound) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if diff := diff([]*raft.Log{l}, entries(index, index, l.Term)); diff != "" {
			t.Fatalf("entry %d (-got +want):\n%s", index, diff)
		}
	}
}
