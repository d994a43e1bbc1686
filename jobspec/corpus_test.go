package jobspec_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
)

// config is how the HTTP API would read a job of the corpus.
func config(t testing.TB, path string) jobspec.Config {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg := jobspec.Config{Body: body}
	if vars, err := os.ReadFile(strings.TrimSuffix(path, ".nomad.hcl") + ".vars.hcl"); err == nil {
		cfg.VarContent = string(vars)
	}
	return cfg
}

func corpus(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/jobs/*.nomad.hcl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	return paths
}

// A job file gives the job that Nomad makes of it.
func TestParseCorpus(t *testing.T) {
	for _, path := range corpus(t) {
		id := strings.TrimSuffix(filepath.Base(path), ".nomad.hcl")
		t.Run(id, func(t *testing.T) {
			job, err := jobspec.Parse(config(t, path))
			if err != nil {
				t.Fatal(err)
			}
			got, err := nomadish.EncodeJSON(job)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile("testdata/parsed/" + id + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(generic(t, want), generic(t, got)); diff != "" {
				t.Errorf("parsed job differs (-want +got):\n%s", diff)
			}
		})
	}
}

func generic(t testing.TB, text []byte) any {
	t.Helper()
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// A file that Nomad refuses is refused, with the same message.
func TestParseMalformed(t *testing.T) {
	f, err := os.Open("testdata/malformed/index.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		id, file, outcome, message := row[0], row[2], row[3], strings.TrimSpace(row[5])
		if id == "b001" {
			continue // an empty request; the API refuses it before it parses
		}
		t.Run(id, func(t *testing.T) {
			_, err := jobspec.Parse(config(t, "testdata/malformed/"+file))
			if outcome == "ok" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("accepted, want %s", message)
			}
			got := "Failed to parse job: " + strings.Join(strings.Fields(err.Error()), " ")
			if !strings.HasPrefix(got, message) {
				t.Errorf("message\n got %s\nwant %s", got, message)
			}
		})
	}
}
