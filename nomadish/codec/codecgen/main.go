// Command codecgen writes the codec methods of a package's types.
//
//	//go:generate go run github.com/nomadish/nomadish/nomadish/codec/codecgen Job Node
//
// It reads the package in the current directory, takes the named struct types and every
// struct type of the package that they contain, and writes AppendCodec and DecodeCodec for
// them, for each source file x.go into zz_codec_x.go. A field tagged `codec:"-"` and
// unexported fields are left out.
//
// Field numbers are kept in zz_codec_fields.txt, which is checked in: a new field gets the
// next number of its type, the number of a removed field is never used again, and a field
// whose encoding would change is refused.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"
)

const registryFile = "zz_codec_fields.txt"

func main() {
	log.SetFlags(0)
	log.SetPrefix("codecgen: ")
	dir := flag.String("dir", ".", "directory of the package")
	flag.Parse()
	if err := run(*dir, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

// run generates the methods of the named types, and of those they contain, in dir.
func run(dir string, names []string) error {
	files, err := generate(dir, names)
	if err != nil {
		return err
	}
	stale, err := filepath.Glob(filepath.Join(dir, "zz_codec_*.go"))
	if err != nil {
		return err
	}
	for _, f := range stale {
		if _, ok := files[filepath.Base(f)]; !ok {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	for name, text := range files {
		if err := writeChanged(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the files that belong into dir, by name.
func generate(dir string, names []string) (map[string][]byte, error) {
	pkg, err := load(dir)
	if err != nil {
		return nil, err
	}
	records, err := pkg.records(names)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, registryFile)
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	reg, err := parseRegistry(string(old))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := reg.assign(records); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	files, err := emitAll(pkg, records)
	if err != nil {
		return nil, err
	}
	files[registryFile] = []byte(reg.String())
	return files, nil
}

// writeChanged writes a file unless it holds text already.
func writeChanged(path string, text []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return os.WriteFile(path, text, 0o644)
}

// emitAll returns the text of the generated files by name.
func emitAll(pkg *source, records []*record) (map[string][]byte, error) {
	byFile := map[string][]*record{}
	for _, r := range records {
		byFile[r.file] = append(byFile[r.file], r)
	}
	files := map[string][]byte{}
	for file, records := range byFile {
		text, err := emit(pkg, records)
		if err != nil {
			return nil, err
		}
		text, err = format.Source(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		files["zz_codec_"+file] = text
	}
	return files, nil
}
