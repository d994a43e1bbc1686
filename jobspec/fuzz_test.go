package jobspec_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
)

// FuzzParse holds that any text is read or refused in bounded time and memory,
// that a job which was read survives JSON, and that formatting is idempotent
// and leaves the job as it is.
func FuzzParse(f *testing.F) {
	for _, glob := range []string{"testdata/jobs/*.nomad.hcl", "testdata/malformed/*.hcl"} {
		paths, err := filepath.Glob(glob)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			body, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			vars, _ := os.ReadFile(path[:len(path)-len(".nomad.hcl")] + ".vars.hcl")
			f.Add(body, string(vars))
		}
	}
	for _, body := range bombs {
		if len(body) < 4<<10 && !strings.Contains(body, "bcrypt") { // slow by design
			f.Add([]byte(body), "")
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, vars string) {
		cfg := jobspec.Config{Body: body, VarContent: vars, Now: func() time.Time { return time.Unix(0, 0) }}
		start := time.Now()
		var job *nomadish.Job
		var err error
		allocated := allocations()
		job, err = jobspec.Parse(cfg)
		if took := time.Since(start); took > hangs {
			t.Errorf("took %s", took)
		}
		if allocations()-allocated > 64<<20 { // some of which may have been in use at once
			if peak := growth(func() { job, err = jobspec.Parse(cfg) }); peak > 64<<20 {
				t.Errorf("memory grew by %d MiB", peak>>20)
			}
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a message")
			}
			return
		}
		text := checkJSON(t, job)
		if !bytes.Contains(body, []byte("uuidv4")) && !bytes.Contains(body, []byte("bcrypt")) {
			checkFormat(t, cfg, text)
		}
	})
}

// hangs is far above the second that a parse may take: fuzzing shares the
// machine, and what it looks for takes minutes.
const hangs = 10 * time.Second

func allocations() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func checkJSON(t *testing.T, job *nomadish.Job) []byte {
	t.Helper()
	text, err := nomadish.EncodeJSON(job)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	var again nomadish.Job
	if err := nomadish.DecodeJSON(text, &again); err != nil {
		if strings.Contains(err.Error(), "nested deeper") {
			return text // JSON's limit is below the one for HCL
		}
		t.Fatalf("decode: %v", err)
	}
	if !reflect.DeepEqual(job, &again) { // a diff of what nests deep would take for ever
		after, err := nomadish.EncodeJSON(&again)
		t.Errorf("job changes by way of JSON, from\n%s\nto (error %v)\n%s", text, err, after)
	}
	return text
}

// withoutBlanks drops the white space of texts in JSON.
func withoutBlanks(text []byte) []byte {
	return []byte(strings.NewReplacer(" ", "", `\t`, "", `\n`, "", `\r`, "").Replace(string(text)))
}

func checkFormat(t *testing.T, cfg jobspec.Config, want []byte) {
	t.Helper()
	once, err := jobspec.Format(cfg.Body, "input.hcl")
	if err != nil {
		return // JSON
	}
	twice, err := jobspec.Format(once, "input.hcl")
	if err != nil {
		t.Fatalf("format of formatted: %v\n%s", err, once)
	}
	if !bytes.Equal(once, twice) {
		t.Errorf("formatting twice changes\n%s\nto\n%s", once, twice)
	}
	cfg.Body = once
	job, err := jobspec.Parse(cfg)
	if err != nil {
		t.Fatalf("parse of formatted: %v\n%s", err, once)
	}
	got, err := nomadish.EncodeJSON(job)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(want, []byte("${")) { // what stays as its source text is laid out too
		got, want = withoutBlanks(got), withoutBlanks(want)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("formatted job differs:\n%s", cmp.Diff(string(want), string(got)))
	}
}

// FuzzScan holds that the check before the parser never sees less than the
// parser will: whatever it lets pass is no deeper and has no more tokens.
func FuzzScan(f *testing.F) {
	paths, err := filepath.Glob("testdata/*/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, text := range []string{
		"a = \"${\"${1}\"}\"", "a = <<E\n${<<F\nx\nF\n}\nE\n", "a = \"$${${1}\"", "a=\"%%{%{if x}\"", "/* ( */ (", "# (\n(", "a = \"\\\"(\" (",
		"a = <<-E\n  (\n  E\n(", "a = \"$\"", "<<E\nE", "~}", "${", "a = \"${{}}\"", "a = \"\\${(\"", "// (", "/* (", "a\r\n=<<E\r\n(\r\nE\r\n(",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 || !utf8.Valid(text) {
			return
		}
		tokens, _ := hclsyntax.LexConfig(text, "", hcl.InitialPos)
		var open []hclsyntax.TokenType
		deepest := 0
		for _, token := range tokens {
			switch token.Type {
			case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc,
				hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
				open = append(open, token.Type)
			case hclsyntax.TokenCBrace, hclsyntax.TokenTemplateSeqEnd: // ends the parentheses in it, too
				for len(open) > 0 && (open[len(open)-1] == hclsyntax.TokenOParen || open[len(open)-1] == hclsyntax.TokenOBrack) {
					open = open[:len(open)-1]
				}
				open = open[:max(len(open)-1, 0)]
			case hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
				open = open[:max(len(open)-1, 0)]
			}
			deepest = max(deepest, len(open))
		}
		seenTokens, seenDepth := jobspec.Scan(text)
		// The end of a text that breaks off may make one token more, besides that of the end itself.
		if seenTokens < len(tokens)-2 || seenDepth < deepest {
			t.Errorf("saw %d tokens %d deep, there are %d tokens %d deep", seenTokens, seenDepth, len(tokens)-1, deepest)
		}
	})
}

// BenchmarkParse measures a job of each size in the corpus.
func BenchmarkParse(b *testing.B) {
	for _, id := range []string{"010", "325", "341"} {
		cfg := config(b, "testdata/jobs/"+id+".nomad.hcl")
		b.Run(id, func(b *testing.B) {
			b.SetBytes(int64(len(cfg.Body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := jobspec.Parse(cfg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
