package snapshot_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish/snapshot"
)

var meta = snapshot.Meta{
	Version: "1.0.0", Region: "global", ClusterID: "c", Index: 12, Term: 3, Level: 1, StateHash: "ab",
	Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
}

var tables = []snapshot.Table{{Name: "jobs", Rows: 2, Bytes: 700}, {Name: "nodes", Rows: 1, Bytes: 90}}

// content is longer than two parts.
func content(n int) []byte {
	rng := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = rng.Read(b) // never fails
	return b
}

func write(t testing.TB, state []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := snapshot.NewWriter(&out, meta)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(state); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(tables); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What was written is read back.
func TestReadsWhatWasWritten(t *testing.T) {
	for _, size := range []int{0, 1, 256 << 10, 600_000} {
		r, err := snapshot.NewReader(bytes.NewReader(write(t, content(size))))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content(size)) {
			t.Errorf("%d bytes: %d come back, %v", size, len(got), err)
		}
		if diff := cmp.Diff(r.Meta, meta); diff != "" {
			t.Errorf("description (-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(r.Summary, snapshot.Summary{Tables: tables, Bytes: int64(size)}); diff != "" {
			t.Errorf("summary (-got +want):\n%s", diff)
		}
	}
}

// A file that differs in a bit, that ends early or goes on is refused, and says so with ErrDamaged.
func TestDamage(t *testing.T) {
	whole := write(t, content(3000))
	check := func(what string, at int, b []byte) {
		t.Helper()
		if _, _, err := snapshot.Verify(bytes.NewReader(b)); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s at %d: %v, want ErrDamaged", what, at, err)
		}
	}
	for at := range whole {
		check("cut off", at, whole[:at])
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		check("flipped bit", at, b)
	}
	check("more", len(whole), append(bytes.Clone(whole), 0))
	check("twice", len(whole), append(bytes.Clone(whole), whole...))
}

// What below can't be read is told as it is: the file need not be damaged.
func TestErrorBelow(t *testing.T) {
	broken := errors.New("cable pulled")
	whole := write(t, content(3000))
	_, _, err := snapshot.Verify(io.MultiReader(bytes.NewReader(whole[:2000]), iotestErr{broken}))
	if !errors.Is(err, broken) || errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("%v, want what the reader said", err)
	}
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }

// Whatever a file holds: it is refused, or it is one that was written so.
func FuzzReader(f *testing.F) {
	f.Add(write(f, content(100)))
	f.Add(write(f, nil))
	f.Add([]byte("nomadish-snapshot"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := snapshot.NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		state, err := io.ReadAll(r)
		if err == nil && int64(len(state)) != r.Summary.Bytes {
			t.Errorf("%d bytes of state, the summary says %d", len(state), r.Summary.Bytes)
		}
	})
}
