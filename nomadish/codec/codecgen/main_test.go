package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is checked in is what the generator makes of the types as they are now.
func TestGeneratedCodeIsUpToDate(t *testing.T) {
	directive := regexp.MustCompile(`(?m)^//go:generate go run \S*codecgen (.*)$`)
	for _, dir := range []string{"../..", "../../../server/state", "../../../server/fsm"} {
		sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range sources {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if m := directive.FindSubmatch(text); m != nil {
				checkGenerated(t, dir, strings.Fields(string(m[1])))
			}
		}
	}
}

func checkGenerated(t *testing.T, dir string, names []string) {
	t.Helper()
	files, err := generate(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is out of date; run go generate in %s", name, dir)
		}
	}
}

// Field numbers are given once: new fields get the next one, removed ones are not used again.
func TestFieldNumbersAreKept(t *testing.T) {
	dir := newModule(t)
	for _, step := range []struct {
		name   string
		fields string
		want   string // of the registry
		err    string
	}{
		{name: "first", fields: "A int; B string", want: "T.A 1 int|T.B 2 string"},
		{name: "new field in front", fields: "N []bool; A int; B string", want: "T.A 1 int|T.B 2 string|T.N 3 list(bool)"},
		{name: "removed", fields: "A int; N []bool", want: "T.A 1 int|T.B 2 string removed|T.N 3 list(bool)"},
		{name: "next after a removed one", fields: "A int; C any", want: "T.A 1 int|T.B 2 string removed|T.N 3 list(bool) removed|T.C 4 any"},
		{name: "pointer is no change", fields: "A *int; C any", want: "T.A 1 int|T.B 2 string removed|T.N 3 list(bool) removed|T.C 4 any"},
		{name: "comes back", fields: "A *int; B string", err: "was removed"},
		{name: "other type", fields: "A string; C any", err: "encoded as int and would become string"},
		{name: "no encoding", fields: "F func()", err: "has no encoding"},
	} {
		t.Run(step.name, func(t *testing.T) {
			write(t, filepath.Join(dir, "t.go"), "package p\n\ntype T struct { "+step.fields+" }\n")
			err := run(dir, []string{"T"})
			if step.err != "" {
				if err == nil || !strings.Contains(err.Error(), step.err) {
					t.Fatalf("error %v, want one with %q", err, step.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(dir, registryFile))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.TrimSpace(strings.TrimPrefix(string(b), registryHead)), "\n", "|")
			if got != step.want {
				t.Errorf("registry\n%s, want\n%s", got, step.want)
			}
		})
	}
}

// Code of types that are gone goes too.
func TestStaleFilesAreRemoved(t *testing.T) {
	dir := newModule(t)
	write(t, filepath.Join(dir, "zz_codec_old.go"), "package p\n")
	write(t, filepath.Join(dir, "t.go"), "package p\n\ntype T struct { A int }\n")
	if err := run(dir, []string{"T"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "zz_codec_old.go")); !os.IsNotExist(err) {
		t.Errorf("stat of a stale file: %v, want that it does not exist", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "zz_codec_t.go")); err != nil {
		t.Error(err)
	}
}

func newModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/p\n")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
