package logstore

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/vfs"
)

var update = flag.Bool("update", false, "write the golden files anew")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func golden() []*raft.Log {
	return []*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: []byte("configuration")},
		{Index: 2, Term: 2, Type: raft.LogNoop},
		{Index: 3, Term: 2, Type: raft.LogCommand, Data: []byte("command"), Extensions: []byte("ext"), AppendedAt: time.Unix(1767225600, 5)},
	}
}

// The bytes of every file are as they were when the format was fixed: data of earlier versions opens.
func TestGolden(t *testing.T) {
	mem := vfs.NewMem()
	s, err := Open(Config{FS: mem, Dir: "d", SegmentSize: 1})
	must(t, err)
	must(t, s.StoreLogs(golden()[:2]))
	must(t, s.StoreLogs(golden()[2:]))
	must(t, s.SetUint64([]byte("CurrentTerm"), 2))
	must(t, s.Set([]byte("LastVoteCand"), []byte("s1")))
	must(t, s.Close())
	names, err := mem.ReadDir("d")
	must(t, err)
	for _, name := range names {
		got, err := vfs.ReadFile(mem, filepath.Join("d", name), 1<<20)
		must(t, err)
		file := filepath.Join("testdata", "golden", name)
		if *update {
			must(t, os.MkdirAll(filepath.Dir(file), 0o755))
			must(t, os.WriteFile(file, got, 0o644))
		}
		want, err := os.ReadFile(file)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from the golden file:\n%x\nwant\n%x", name, got, want)
		}
	}
}

// A record is read back as it was, and as nothing else: not behind another entry, not as another one.
func FuzzRecord(f *testing.F) {
	f.Add(uint64(0), uint64(1), uint64(1), byte(0), int64(0), []byte(nil), []byte(nil), uint(0))
	f.Add(uint64(7), uint64(3), uint64(2), byte(1), int64(1767225600), []byte("command"), []byte("ext"), uint(130))
	f.Fuzz(func(t *testing.T, prev, index, term uint64, typ byte, at int64, data, ext []byte, flip uint) {
		in := raft.Log{Index: index, Term: term, Type: raft.LogType(typ)}
		if at != 0 {
			in.AppendedAt = time.Unix(0, at)
		}
		if len(data) > 0 {
			in.Data = data
		}
		if len(ext) > 0 {
			in.Extensions = ext
		}
		b, want := appendRecord(nil, prev, &in)
		if size := parseSize(b); size != int64(len(b)) || size != int64(recordSize(&in)) {
			t.Fatalf("size %d of %d bytes", size, len(b))
		}
		var out raft.Log
		sum, err := parseRecord(b, index, prev, &out)
		if err != nil || sum != want {
			t.Fatalf("sum %x, %v, want %x", sum, err, want)
		}
		if !reflect.DeepEqual(out, in) {
			t.Fatalf("(-got +want):\n%s", cmp.Diff(out, in))
		}
		if _, err := parseRecord(b, index, prev+1, &out); err == nil {
			t.Fatal("read behind another entry")
		}
		if _, err := parseRecord(b, index+1, prev, &out); err == nil {
			t.Fatal("read as another entry")
		}
		b[flip/8%uint(len(b))] ^= 1 << (flip % 8)
		if parseSize(b) == int64(len(b)) {
			if _, err := parseRecord(b, index, prev, &out); err == nil {
				t.Fatalf("bit %d is flipped and nothing is wrong", flip)
			}
		}
	})
}

// Any content of any file opens or is refused, within memory that the file's size bounds.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"00000000000000000001.log", "00000000000000000003.log", markName, stableName} {
		b, err := os.ReadFile(filepath.Join("testdata", "golden", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name == markName, name == stableName, b)
	}
	f.Fuzz(func(t *testing.T, mark, stable bool, content []byte) {
		mem := vfs.NewMem()
		s, err := Open(Config{FS: mem, Dir: "d", SegmentSize: 4 << 10})
		must(t, err)
		must(t, s.StoreLogs(golden()))
		must(t, s.Close())
		name := "00000000000000000001.log"
		if mark {
			name = markName
		} else if stable {
			name = stableName
		}
		must(t, vfs.WriteFile(mem, filepath.Join("d", name), content))
		s, err = Open(Config{FS: mem, Dir: "d", SegmentSize: 4 << 10})
		var damage *CorruptError
		if err != nil {
			if !errors.As(err, &damage) && !bytes.HasPrefix(content, []byte(segmentMagic)) {
				t.Fatalf("%v, want a CorruptError", err)
			}
			return
		}
		must(t, s.Close())
	})
}

func benchmarkStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(Config{FS: vfs.OS{}, Dir: filepath.Join(b.TempDir(), "raft")})
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	return s
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, batch := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s := benchmarkStore(b)
			logs := make([]*raft.Log, batch)
			next := uint64(1)
			b.SetBytes(int64(batch) << 10)
			b.ReportAllocs()
			for b.Loop() {
				for i := range logs {
					logs[i] = &raft.Log{Index: next, Term: 1, Data: make([]byte, 1<<10)}
					next++
				}
				must(b, s.StoreLogs(logs))
			}
		})
	}
}

func BenchmarkGetLog(b *testing.B) {
	for _, size := range []int{1 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			s := benchmarkStore(b)
			for i := range uint64(64) {
				must(b, s.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: make([]byte, size)}))
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var l raft.Log
			for i := uint64(0); b.Loop(); i++ {
				must(b, s.GetLog(i%64+1, &l))
			}
		})
	}
}

// BenchmarkOpen verifies a log of 64 MiB.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "raft")
	s, err := Open(Config{FS: vfs.OS{}, Dir: dir})
	must(b, err)
	for i := uint64(0); i < 1<<16; i += 64 {
		logs := make([]*raft.Log, 64)
		for j := range logs {
			logs[j] = &raft.Log{Index: i + uint64(j) + 1, Term: 1, Data: make([]byte, 1<<10)}
		}
		must(b, s.StoreLogs(logs))
	}
	must(b, s.Close())
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(Config{FS: vfs.OS{}, Dir: dir})
		must(b, err)
		must(b, s.Close())
	}
}
