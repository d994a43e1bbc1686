package nomadish

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// corpus returns the files of a directory of testdata by id. The parsed jobs lie with the
// job files.
func corpus(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	root := "testdata"
	if dir == "parsed" {
		root = "../jobspec/testdata"
	}
	names, err := filepath.Glob(filepath.Join(root, dir, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("testdata/%s: %d files, %v", dir, len(names), err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(name), ".json")] = data
	}
	return files
}

// TestParsedJobsKeepTheirShape: what is decoded from Nomad's JSON encodes to the same JSON.
func TestParsedJobsKeepTheirShape(t *testing.T) {
	for _, dir := range []string{"parsed", "canonical"} {
		for id, data := range corpus(t, dir) {
			var job Job
			if err := DecodeJSON(data, &job); err != nil {
				t.Fatalf("%s/%s: %v", dir, id, err)
			}
			out, err := EncodeJSON(&job)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range jsonDiff(t, out, data) {
				t.Errorf("%s/%s: %s", dir, id, d)
			}
		}
	}
}

// jsonDiff compares two documents and returns where they differ.
func jsonDiff(t testing.TB, got, want []byte) []string {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatal(err)
	}
	return anyDiff(g, w, "")
}

func anyDiff(got, want any, path string) []string {
	show := func(v any) string {
		b, _ := json.Marshal(v)
		return string(b)
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		var out []string
		for k, v := range w {
			if _, ok := g[k]; !ok {
				out = append(out, path+"."+k+": missing, want "+show(v))
				continue
			}
			out = append(out, anyDiff(g[k], v, path+"."+k)...)
		}
		for k, v := range g {
			if _, ok := w[k]; !ok {
				out = append(out, path+"."+k+": got "+show(v)+", want none")
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		var out []string
		for i := range w {
			out = append(out, anyDiff(g[i], w[i], path+"[]")...)
		}
		return out
	}
	if !reflect.DeepEqual(got, want) {
		return []string{path + ": got " + show(got) + ", want " + show(want)}
	}
	return nil
}

// TestDecodeErrors: an error names the field and what was wanted, and its kind.
func TestDecodeErrors(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
	}{
		{"empty", "", "body is empty, want JSON"},
		{"truncated", `{"ID":"a"`, "body is not JSON: line 1, column 10: it ends too early"},
		{"truncated string", `{"ID":"a`, "body is not JSON: line 1, column 9: a string has no end"},
		{"array", `[]`, "body: want an object, got an array"},
		{"string for number", `{"TaskGroups":[{"Count":"3"}]}`, "TaskGroups[0].Count: want a number, got a string"},
		{"number for string", `{"TaskGroups":[{"Tasks":[{"Name":3}]}]}`, "TaskGroups[0].Tasks[0].Name: want a string, got a number"},
		{"number for bool", `{"AllAtOnce":1}`, "AllAtOnce: want a boolean, got a number"},
		{"object for list", `{"Datacenters":{}}`, "Datacenters: want an array, got an object"},
		{"null element", `{"TaskGroups":[null]}`, "TaskGroups[0]: want an object, got null"},
		{"fraction", `{"Priority":1.5}`, "Priority: want a whole number from -9223372036854775808 to 9223372036854775807, got 1.5"},
		{"int8", `{"Affinities":[{"Weight":200}]}`, "Affinities[0].Weight: want a whole number from -128 to 127, got 200"},
		{"1e400 in int", `{"Priority":1e400}`, "Priority: want a whole number from -9223372036854775808 to 9223372036854775807, got 1e400"},
		{"1e400 in config", `{"TaskGroups":[{"Tasks":[{"Config":{"a":[1e400]}}]}]}`, "TaskGroups[0].Tasks[0].Config.a[0]: 1e400 is out of range"},
		{"duration", `{"Update":{"Stagger":"soon"}}`, `Update.Stagger: time: invalid duration "soon"`},
		{"duration list", `{"Update":{"Stagger":[]}}`, `Update.Stagger: want a duration (nanoseconds, or a string such as "30s"), got an array`},
		{"NUL byte", "{\"ID\":\"a\x00\"}", `body is not JSON: line 1, column 9: a string holds the control character '\x00'`},
		{"not UTF-8", "{\"ID\":\"a\xff\"}", "body is not JSON: line 1, column 9: a string is not UTF-8"},
		{"not UTF-8, skipped", "{\"x\":\"a\xff\"}", "body is not JSON: line 1, column 8: a string is not UTF-8"},
		{"half a pair", `{"ID":"\ud800"}`, `body is not JSON: line 1, column 14: a \u escape in a string is no character`},
		{"trailing", `{} {}`, `body is not JSON: line 1, column 4: unexpected '{' after the end`},
		{"bare word", "{\n \"ID\": abc}", `body is not JSON: line 2, column 8: unexpected 'a'`},
		{"leading zero", `{"Priority":01}`, `body is not JSON: line 1, column 14: want ',', got '1'`},
		{"base64", `{"Payload":"%"}`, "Payload: not base64: illegal base64 data at input byte 0"},
		{"deep", strings.Repeat("[", 100_000), "body: want an object, got an array"},
		{"deep, skipped", `{"x":` + strings.Repeat("[", 100_000), "body is nested deeper than 1024"},
		{"deep config", `{"Meta":null,"TaskGroups":[{"Tasks":[{"Config":` + strings.Repeat(`{"a":`, 1100), "body is nested deeper than 1024"},
		{"many keys", `{"Meta":{` + strings.TrimSuffix(strings.Repeat(`"k":"v",`, 10_001), ",") + `}}`, "Meta: more than 10000 keys"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var job Job
			err := DecodeJSON([]byte(tt.body), &job)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v\nwant %v", err, tt.want)
			}
			if KindOf(err) != KindInvalid {
				t.Errorf("kind %v, want KindInvalid", KindOf(err))
			}
		})
	}
}

// TestDecodeIsBounded: a body of 8 MiB can't take more than 32 MiB while it is refused.
func TestDecodeIsBounded(t *testing.T) {
	const n = 2 << 20
	for _, body := range []string{
		`{"TaskGroups":[` + strings.Repeat(`{},`, n) + `{}]}`,
		`{"TaskGroups":[` + strings.Repeat(`{"Tasks":[{},{},{}]},`, n/8) + `{}]}`,
		`{"TaskGroups":[{"Tasks":[{"Config":{"a":[` + strings.Repeat(`0,`, 2*n) + `0]}}]}]}`,
		`{"TaskGroups":[{"Tasks":[{"Config":{"a":[` + strings.Repeat(`{},`, n) + `0]}}]}]}`,
		`{"TaskGroups":[{"Tasks":[{"Config":{"a":[` + strings.Repeat(`{"b":[]},`, n/2) + `0]}}]}]}`,
		`{"Datacenters":[` + strings.Repeat(`"",`, n) + `""]}`,
		`{"Datacenters":[` + strings.Repeat(`"a\n",`, n) + `""]}`,
	} {
		data := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var job Job
		err := DecodeJSON(data, &job)
		runtime.ReadMemStats(&after)
		if KindOf(err) != KindTooLarge {
			t.Errorf("%.60s…: %v, want KindTooLarge", body, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
			t.Errorf("%.60s…: took %d MiB", body, took>>20)
		}
	}
}

// TestDecodeTolerates: keys match without case, unknown ones are skipped, null is nothing,
// durations may be strings, numbers in config stay whole.
func TestDecodeTolerates(t *testing.T) {
	var job Job
	body := `{"id":"a","NAME":null,"Nope":[{"x":1e999}],"Update":{"Stagger":"30s","MinHealthyTime":10},
		"TaskGroups":[{"Tasks":[{"Config":{"n":9007199254740993,"f":5.0,"neg":-0}}]}]}`
	if err := DecodeJSON([]byte(body), &job); err != nil {
		t.Fatal(err)
	}
	if Val(job.ID) != "a" || job.Name != nil || Val(job.Update.Stagger) != 30e9 || Val(job.Update.MinHealthyTime) != 10 {
		t.Errorf("got %+v", job)
	}
	config := job.TaskGroups[0].Tasks[0].Config
	if config["n"] != int64(9007199254740993) || config["f"] != 5.0 {
		t.Errorf("config: got %#v", config)
	}
}

// TestDecodeNulls: null where an object belongs is taken only where the limits say so.
func TestDecodeNulls(t *testing.T) {
	var r AllocatedResources
	body := []byte(`{"TaskLifecycles":{"web":null}}`)
	if err := DecodeJSON(body, &r); KindOf(err) != KindInvalid {
		t.Errorf("by default: got %v, want an error of KindInvalid", err)
	}
	if err := (JSONLimits{Nulls: true}).Decode(body, &r); err != nil {
		t.Fatal(err)
	}
	if lifecycle, ok := r.TaskLifecycles["web"]; !ok || lifecycle != nil {
		t.Errorf("got %v, want a nil entry", r.TaskLifecycles)
	}
}

// FuzzJobJSON: whatever decodes, encodes to something that decodes to the same.
func FuzzJobJSON(f *testing.F) {
	for _, dir := range []string{"parsed", "canonical"} {
		for _, data := range corpus(f, dir) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second Job
		if err := DecodeJSON(data, &first); err != nil {
			return
		}
		first.JobModifyIndex = nil // a stored job leaves some keys out
		out, err := EncodeJSON(&first)
		if err != nil {
			t.Fatal(err)
		}
		if err := DecodeJSON(out, &second); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		again, err := EncodeJSON(&second)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, again) {
			t.Fatalf("got %s\nwant %s", again, out)
		}
		first.eachService(func(s *Service) { s.Namespace = "" })
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("decoded %+v\nwant %+v", second, first)
		}
	})
}

func BenchmarkDecodeJob(b *testing.B) {
	data := corpus(b, "canonical")["001"]
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var job Job
		if err := DecodeJSON(data, &job); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeJob(b *testing.B) {
	var job Job
	if err := DecodeJSON(corpus(b, "canonical")["001"], &job); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeJSON(&job); err != nil {
			b.Fatal(err)
		}
	}
}
