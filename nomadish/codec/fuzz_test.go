package codec_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/nomadish/codec/codectest"
)

// What decodes encodes to something that decodes to the same; what does not decode gives
// an error; and neither takes more than 64 MiB.
func FuzzCodec(f *testing.F) {
	for seed := range uint64(3) {
		for i, root := range roots() {
			codectest.Fill(rand.New(rand.NewPCG(seed, uint64(i))), root)
			f.Add(uint8(i), codec.Marshal(root))
		}
	}
	for _, job := range corpusJobs(f) {
		f.Add(uint8(0), codec.Marshal(job))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		types := roots()
		fresh := func() codectest.Value {
			root := types[int(which)%len(types)]
			return reflect.New(reflect.TypeOf(root).Elem()).Interface().(codectest.Value)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		first := fresh()
		err := codec.Unmarshal(b, first)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
			t.Fatalf("decoding %d bytes took %d bytes of memory", len(b), got)
		}
		if err != nil {
			return
		}
		once := codec.Marshal(first)
		second := fresh()
		if err := codec.UnmarshalTrusted(once, second); err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if !bytes.Equal(codec.Marshal(second), once) {
			t.Fatal("encoded again it differs")
		}
	})
}

// corpusJobs returns the jobs of the corpus that lies beside package nomadish.
func corpusJobs(t testing.TB) []*nomadish.Job {
	t.Helper()
	paths, err := filepath.Glob("../testdata/canonical/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var jobs []*nomadish.Job
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		job := new(nomadish.Job)
		if err := nomadish.DecodeJSON(text, job); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		jobs = append(jobs, job)
	}
	return jobs
}
