package nomadish

import (
	"reflect"
	"testing"
)

// TestNormalizeFillsDefaults: a parsed job normalizes to what Nomad makes of it.
func TestNormalizeFillsDefaults(t *testing.T) {
	want := corpus(t, "canonical")
	for id, data := range corpus(t, "parsed") {
		var job Job
		if err := DecodeJSON(data, &job); err != nil {
			t.Fatal(err)
		}
		job.Normalize()
		out, err := EncodeJSON(&job)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range jsonDiff(t, out, want[id]) {
			t.Errorf("%s: %s", id, d)
		}
		var again Job
		if err := DecodeJSON(out, &again); err != nil {
			t.Fatal(err)
		}
		again.Normalize()
		if !reflect.DeepEqual(job, again) {
			t.Errorf("%s: normalizing twice changes the job", id)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	data := corpus(b, "parsed")["001"]
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var job Job
		if err := DecodeJSON(data, &job); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		job.Normalize()
	}
}
