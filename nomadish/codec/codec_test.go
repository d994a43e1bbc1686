package codec_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/nomadish/codec/codectest"
)

// roots are the nouns that are stored or sent by themselves.
func roots() []codectest.Value {
	return []codectest.Value{
		new(nomadish.Job), new(nomadish.JobSubmission), new(nomadish.Node), new(nomadish.Allocation),
		new(nomadish.Evaluation), new(nomadish.Plan), new(nomadish.PlanResult), new(nomadish.Deployment),
		new(nomadish.JobSummary), new(nomadish.NodePool), new(nomadish.Namespace), new(nomadish.SchedulerConfiguration),
		new(nomadish.NodeAllocations), new(nomadish.NodeLease), new(nomadish.JobScalingEvents),
		new(nomadish.SealedVariable), new(nomadish.VariableContent),
		new(nomadish.ACLPolicy), new(nomadish.ACLRole), new(nomadish.ACLToken), new(nomadish.OneTimeToken),
		new(nomadish.ACLAuthMethod), new(nomadish.ACLBindingRule), new(nomadish.QuotaSpec),
		new(nomadish.Authority), new(nomadish.CertifiedAgent), new(nomadish.RevokedCertificate), new(nomadish.RecoveryKey), new(nomadish.JoinToken),
	}
}

// The encoding of every noun stays as it is.
func TestGolden(t *testing.T) { codectest.Golden(t, "testdata/golden", roots()...) }

// Decoding gives back what was encoded, nil apart from empty; equal values have equal encodings.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		for _, root := range roots() {
			rnd := rand.New(rand.NewPCG(seed, 1))
			codectest.Fill(rnd, root)
			b := codec.Marshal(root)
			again := reflect.New(reflect.TypeOf(root).Elem()).Interface().(codectest.Value)
			if err := codec.Unmarshal(b, again); err != nil {
				t.Fatalf("seed %d, %T: %v", seed, root, err)
			}
			if !bytes.Equal(codec.Marshal(again), b) {
				t.Fatalf("seed %d, %T: encoded again it differs", seed, root)
			}
			shared := reflect.New(reflect.TypeOf(root).Elem()).Interface().(codectest.Value)
			if err := codec.UnmarshalShared(b, shared); err != nil || !reflect.DeepEqual(shared, again) {
				t.Fatalf("seed %d, %T: shared it differs (%v)", seed, root, err)
			}
			withoutJob(root)
			if diff := cmp.Diff(root, again); diff != "" {
				t.Fatalf("seed %d, %T (-want +got):\n%s", seed, root, diff)
			}
		}
	}
}

// withoutJob drops what is not encoded.
func withoutJob(v any) {
	drop := func(lists ...map[string][]*nomadish.Allocation) {
		for _, m := range lists {
			for _, list := range m {
				for _, a := range list {
					withoutJob(a)
				}
			}
		}
	}
	annotations := func(p *nomadish.PlanAnnotations) {
		if p != nil {
			drop(map[string][]*nomadish.Allocation{"": p.PreemptedAllocs})
		}
	}
	switch v := v.(type) {
	case *nomadish.Allocation:
		if v != nil {
			v.Job = nil
		}
	case *nomadish.NodeAllocations:
		drop(map[string][]*nomadish.Allocation{"": v.Allocs})
	case *nomadish.Evaluation:
		annotations(v.PlanAnnotations)
	case *nomadish.Plan:
		drop(v.NodeUpdate, v.NodeAllocation, v.NodePreemptions)
		annotations(v.Annotations)
	case *nomadish.PlanResult:
		drop(v.NodeUpdate, v.NodeAllocation, v.NodePreemptions)
	}
}

// Values of type any keep their kind; unusual ones become the nearest usual one.
func TestAny(t *testing.T) {
	type text string
	for _, tt := range []struct {
		name     string
		in, want any
	}{
		{"nil", nil, nil},
		{"bool", true, true},
		{"int", 7, int64(7)},
		{"smallest", int64(math.MinInt64), int64(math.MinInt64)},
		{"uint16", uint16(9), int64(9)},
		{"float", -0.5, -0.5},
		{"float32", float32(0.5), 0.5},
		{"text", "x", "x"},
		{"named text", text("x"), "x"},
		{"bytes", []byte{0}, []byte{0}},
		{"nil list", []any(nil), []any(nil)},
		{"empty list", []any{}, []any{}},
		{"list of text", []string{"a"}, []any{"a"}},
		{"map", map[string]any{"a": []any{1}}, map[string]any{"a": []any{int64(1)}}},
		{"list of maps", []map[string]any{{"a": nil}}, []any{map[string]any{"a": nil}}},
		{"map of text", map[string]string{"a": "b"}, map[string]any{"a": "b"}},
		{"duration", time.Second, int64(time.Second)},
		{"no kind of ours", 1i, "(0+1i)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := codec.NewReader(codec.AppendAny(nil, tt.in))
			got := r.Any()
			if err := r.Err(); err != nil || r.More() {
				t.Fatalf("error %v, more %v", err, r.More())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Fields that a reader does not know are passed over.
func TestUnknownFields(t *testing.T) {
	b := codec.Marshal(&nomadish.Port{Label: "http", Value: 80})
	for _, extra := range [][]byte{
		{0xc8, 0x01, 5}, // number 25, varint
		append([]byte{0xc9, 0x01}, make([]byte, 8)...), // number 25, float
		append([]byte{0xca, 0x01, 3}, "new"...),        // number 25, bytes
		{0x08, 1},                                      // number 1 as a varint: another field than ours
	} {
		var got nomadish.Port
		if err := codec.Unmarshal(append(bytes.Clone(b), extra...), &got); err != nil {
			t.Fatalf("%x: %v", extra, err)
		}
		if got != (nomadish.Port{Label: "http", Value: 80}) {
			t.Errorf("%x: got %+v", extra, got)
		}
	}
}

// Bad input gives an error that says what is wrong, never a panic, and little memory.
func TestBadInput(t *testing.T) {
	deep := bytes.Repeat([]byte{6, 2}, codec.MaxDepth+10) // a list with a list with a list …
	list := func(n int) []byte {                          // a job with n empty constraints
		items := append(codec.AppendCount(nil, n, false), bytes.Repeat([]byte{1}, n)...)
		return append(codec.AppendUint([]byte{10<<3 | 2}, uint64(len(items))), items...)
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"cut in a key", []byte{0x80}, codec.ErrTruncated},
		{"cut in a string", []byte{1<<3 | 2, 200}, codec.ErrTruncated},
		{"string past the end", []byte{1<<3 | 2, 9, 'a'}, codec.ErrTruncated},
		{"huge length", append([]byte{1<<3 | 2}, bytes.Repeat([]byte{0xff}, 9)...), codec.ErrTruncated},
		{"number of 11 bytes", bytes.Repeat([]byte{0xff}, 11), codec.ErrMalformed},
		{"unknown wire type", []byte{7}, codec.ErrMalformed},
		{"count past the end", []byte{10<<3 | 2, 1, 100}, codec.ErrTruncated},
		{"rest in a list", []byte{10<<3 | 2, 2, 1, 1}, codec.ErrMalformed},
		{"many small things", list(4 << 20), codec.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := codec.Unmarshal(tt.in, new(nomadish.Job))
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	r := codec.NewReader(deep)
	r.Any()
	if err := r.Err(); !errors.Is(err, codec.ErrTooDeep) {
		t.Errorf("deep: error %v, want %v", err, codec.ErrTooDeep)
	}
	if err := codec.UnmarshalTrusted(list(4<<20), new(nomadish.Job)); err != nil {
		t.Errorf("what was checked already is not limited: %v", err)
	}
}

// Maps whose keys are not sorted, or not different, have no place in the encoding.
func TestMapOrder(t *testing.T) {
	for _, keys := range []string{"ba", "aa"} {
		var b []byte
		b = codec.AppendCount(b, 2, false)
		for _, k := range strings.Split(keys, "") {
			b = codec.AppendAny(codec.AppendString(b, k), nil)
		}
		r := codec.NewReader(b)
		r.AnyMap()
		if err := r.Err(); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("keys %s: error %v, want %v", keys, err, codec.ErrMalformed)
		}
	}
}
