package nomadish

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestAdmitAddsWhatServersAdd: an admitted job shows as Nomad shows it once registered.
// Not compared: indexes and times, which the corpus leaves out; the status, which depends
// on what has been placed; ids of scaling policies, which are random there.
func TestAdmitAddsWhatServersAdd(t *testing.T) {
	parsed := corpus(t, "parsed")
	for id, data := range corpus(t, "registered") {
		var want struct{ Job json.RawMessage }
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		var job Job
		if err := DecodeJSON(parsed[id], &job); err != nil {
			t.Fatal(err)
		}
		job.Admit()
		job.JobModifyIndex = Ptr[uint64](7)
		out, err := EncodeJSON(&job)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range jsonDiff(t, out, want.Job) {
			if registeredOnly(d) {
				continue
			}
			t.Errorf("%s: %s", id, d)
		}
		again := job.Copy()
		again.Admit()
		if !reflect.DeepEqual(&job, again) {
			t.Errorf("%s: admitting twice changes the job", id)
		}
		if job.SpecChanged(again) {
			t.Errorf("%s: spec changed by admitting twice", id)
		}
		var shown Job
		if err := DecodeJSON(out, &shown); err != nil {
			t.Fatal(err)
		}
		shown.Admit()
		if job.SpecChanged(&shown) {
			t.Errorf("%s: submitting the job as shown changes it", id)
		}
	}
}

func registeredOnly(diff string) bool {
	for _, p := range []string{
		".CreateIndex: ", ".ModifyIndex: ", ".JobModifyIndex: ", ".Version: ", ".SubmitTime: ", ".Status: ",
		".TaskGroups[].Scaling.ID: ", ".TaskGroups[].Scaling.CreateIndex: ", ".TaskGroups[].Scaling.ModifyIndex: ",
		".TaskGroups[].Tasks[].ScalingPolicies[].CreateIndex: ", ".TaskGroups[].Tasks[].ScalingPolicies[].ModifyIndex: ",
	} {
		if strings.HasPrefix(diff, p) {
			return true
		}
	}
	return false
}

// TestSpecChanged: what the server keeps about a job is no change, what the user asks is one.
func TestSpecChanged(t *testing.T) {
	var job Job
	if err := DecodeJSON(corpus(t, "parsed")["214"], &job); err != nil {
		t.Fatal(err)
	}
	job.Admit()
	other := job.Copy()
	other.Status, other.Version, other.ModifyIndex, other.SubmitTime = Ptr("dead"), Ptr[uint64](3), Ptr[uint64](9), Ptr[int64](1)
	if job.SpecChanged(other) {
		t.Error("changed by what the server keeps")
	}
	other.TaskGroups[0].Tasks[0].Config["image"] = "other"
	if !job.SpecChanged(other) {
		t.Error("not changed by another image")
	}
	stopped := job.Copy()
	*stopped.Stop = true
	if !job.SpecChanged(stopped) {
		t.Error("not changed by stop")
	}
}

func BenchmarkAdmit(b *testing.B) {
	data := corpus(b, "parsed")["212"]
	var parsed Job
	if err := DecodeJSON(data, &parsed); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		job := parsed.Copy()
		job.Admit()
		if err := job.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}
