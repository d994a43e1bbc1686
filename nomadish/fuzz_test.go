package nomadish

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// prune takes a job that has everything and leaves out optional parts, or empties and
// garbles values, as the random source says.
func prune(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if depth > 0 && r.IntN(4) == 0 {
			v.SetZero()
			return
		}
		prune(r, v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			prune(r, v.Field(i), depth+1)
		}
	case reflect.Slice:
		if r.IntN(5) == 0 || v.Len() == 0 {
			v.SetZero()
			return
		}
		if v.Type().Elem().Kind() != reflect.Uint8 && r.IntN(4) == 0 {
			copied := reflect.New(v.Type().Elem()).Elem()
			copyValue(copied, v.Index(0))
			v.Set(reflect.Append(v, copied, reflect.Zero(v.Type().Elem())))
		}
		for i := range v.Len() {
			prune(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		if r.IntN(5) == 0 {
			v.SetZero()
		} else if v.Type().Elem().Kind() == reflect.Pointer && r.IntN(5) == 0 {
			v.SetMapIndex(reflect.ValueOf("nil"), reflect.Zero(v.Type().Elem()))
		}
	case reflect.String:
		if r.IntN(4) == 0 {
			v.SetString([]string{"", "..", "${JOB}", "\x00", "bridge", "signal", "fibonacci", "a b"}[r.IntN(8)])
		}
	case reflect.Int, reflect.Int8, reflect.Int64:
		if r.IntN(4) == 0 {
			v.SetInt(r.Int64() >> r.IntN(64) * int64(1-2*r.IntN(2)))
		}
	}
}

// full makes a value that has every optional part.
func full(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		full(v.Elem(), depth)
	case reflect.Struct:
		for i := range v.NumField() {
			full(v.Field(i), depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		full(v.Index(0), depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		elem := reflect.New(v.Type().Elem()).Elem()
		full(elem, depth+1)
		v.SetMapIndex(reflect.ValueOf("key"), elem)
	case reflect.Interface:
		v.Set(reflect.ValueOf([]any{map[string]any{"n": 1, "s": []string{"x"}}}))
	case reflect.String:
		v.SetString("a")
	case reflect.Int, reflect.Int8, reflect.Int64:
		v.SetInt(30)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(3)
	}
}

// FuzzValidate: no job makes Normalize, Admit, Validate, Warnings or Copy panic, whatever
// is left out; normalizing or admitting again changes nothing; a copy is equal, and an
// admitted job survives being shown and submitted again.
func FuzzValidate(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		job := &Job{}
		full(reflect.ValueOf(job).Elem(), 0)
		if seed != 0 {
			prune(r, reflect.ValueOf(job), 0)
		}
		job.Stored()
		job.Normalize()
		checkAgain(t, job, (*Job).Normalize)
		_ = job.Validate()
		job.Admit()
		checkAgain(t, job, (*Job).Admit)
		if err := job.Validate(); err != nil {
			var invalid *ValidationError
			if !errors.As(err, &invalid) {
				t.Fatalf("Validate gives a %T: %v", err, err)
			}
			for fault := range invalid.Leaves() {
				job.FilePath(fault.Path)
			}
		}
		_ = job.Warnings().String()
		job.JobModifyIndex = Ptr[uint64](1)
		data, err := EncodeJSON(job)
		if err != nil {
			t.Fatal(err)
		}
		var shown Job
		if err := DecodeJSON(data, &shown); err != nil {
			t.Fatal(err)
		}
		shown.Admit()
	})
}

func checkAgain(t *testing.T, job *Job, do func(*Job)) {
	t.Helper()
	again := job.Copy()
	if !reflect.DeepEqual(again, job) {
		t.Fatal("the copy differs")
	}
	do(again)
	if !reflect.DeepEqual(again, job) {
		a, _ := EncodeJSON(again)
		b, _ := EncodeJSON(job)
		t.Fatalf("not the same again\ngot  %s\nwant %s\n%v", a, b, jsonDiff(t, a, b))
	}
}

// TestCopySharesNothing: changing anything in a copy leaves the original alone.
func TestCopySharesNothing(t *testing.T) {
	job := &Job{}
	full(reflect.ValueOf(job).Elem(), 0)
	want, err := EncodeJSON(job)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		other := job.Copy()
		prune(r, reflect.ValueOf(other), 0)
	}
	got, err := EncodeJSON(job)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the original has changed: %v", jsonDiff(t, got, want))
	}
}

// FuzzCron: an expression never panics or hangs, and a launch lies after the moment asked.
func FuzzCron(f *testing.F) {
	for _, spec := range []string{"* * * * *", "@daily", "0 0 31 2 *", "30 2 * * 0", "*/15 * * * * * 2030", "1-5/2 * L * 5#2"} {
		f.Add(spec, "Europe/Berlin", int64(1_774_746_000))
	}
	f.Fuzz(func(t *testing.T, spec, zone string, seconds int64) {
		p := &PeriodicConfig{Spec: &spec, TimeZone: &zone}
		p.normalize()
		after := time.Unix(seconds%4_000_000_000, 0)
		next, err := p.Next(after)
		if err == nil && !next.IsZero() && !next.After(after) {
			t.Errorf("%q in %s after %v: %v", spec, zone, after, next)
		}
	})
}
