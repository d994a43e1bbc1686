// Package codectest checks that the encoding of wire types stays as it is.
//
// For each type there is a golden file, with one line per field: its name and the encoding
// of a value in which only that field is set. New fields add lines; existing lines never
// change, and lines of removed fields stay, as old data holds them.
//
//	codectest.Golden(t, "testdata/golden", new(nomadish.Job), new(nomadish.Node))
package codectest

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish/codec"
)

var update = flag.Bool("update", false, "add missing lines to golden files")

// Value is what the generator makes of a type.
type Value interface {
	codec.Appender
	codec.Decoder
}

// Golden checks the types of the values, and all wire types of the same package that they
// contain, against the golden files in dir. With -update it adds what is missing; it never
// changes a line.
func Golden(t *testing.T, dir string, values ...Value) {
	t.Helper()
	types := map[string]reflect.Type{}
	for _, v := range values {
		root := reflect.TypeOf(v).Elem()
		collect(root, root.PkgPath(), types)
	}
	for name, typ := range types {
		t.Run(name, func(t *testing.T) { golden(t, filepath.Join(dir, name+".txt"), typ) })
	}
}

var valueType = reflect.TypeFor[Value]()

// collect adds the wire types of a package that t is or contains.
func collect(t reflect.Type, pkg string, types map[string]reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collect(t.Elem(), pkg, types)
	case reflect.Struct:
		if t.PkgPath() != pkg || types[t.Name()] != nil || !reflect.PointerTo(t).Implements(valueType) {
			return
		}
		types[t.Name()] = t
		for _, f := range fields(t) {
			collect(f.Type, pkg, types)
		}
	}
}

// fields returns the fields of t that are encoded.
func fields(t reflect.Type) []reflect.StructField {
	var list []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && len(f.Index) == 1 && f.Tag.Get("codec") != "-" {
			list = append(list, f)
		}
	}
	return list
}

func golden(t *testing.T, path string, typ reflect.Type) {
	known := readGolden(t, path)
	var added strings.Builder
	for _, f := range fields(typ) {
		v := reflect.New(typ)
		one(v.Elem().FieldByIndex(f.Index), f.Name)
		got := hex.EncodeToString(codec.Marshal(v.Interface().(Value)))
		want, ok := known[f.Name]
		switch {
		case !ok && *update:
			fmt.Fprintf(&added, "%s %s\n", f.Name, got)
		case !ok:
			t.Errorf("%s has no line for the field %s; run the test with -update to add it", path, f.Name)
		case got != want:
			t.Errorf("field %s is encoded as\n%s\nand was, which it must stay,\n%s", f.Name, got, want)
		}
	}
	for name, line := range known {
		decodeOld(t, typ, name, line)
	}
	if added.Len() > 0 {
		appendGolden(t, path, added.String())
	}
}

// decodeOld checks that old data can still be read, also that of removed fields.
func decodeOld(t *testing.T, typ reflect.Type, name, line string) {
	b, err := hex.DecodeString(line)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.New(typ)
	if err := codec.Unmarshal(b, v.Interface().(Value)); err != nil {
		t.Errorf("field %s: decode: %v", name, err)
		return
	}
	if f, ok := typ.FieldByName(name); !ok || f.Tag.Get("codec") == "-" {
		return
	}
	want := reflect.New(typ)
	one(want.Elem().FieldByName(name), name)
	if !reflect.DeepEqual(v.Interface(), want.Interface()) {
		t.Errorf("field %s: decoded %#v, want %#v", name, v.Elem().FieldByName(name), want.Elem().FieldByName(name))
	}
}

func readGolden(t *testing.T, path string) map[string]string {
	t.Helper()
	known := map[string]string{}
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		name, encoding, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			t.Fatalf("%s: line %q is not a name and an encoding", path, line)
		}
		known[name] = encoding
	}
	return known
}

func appendGolden(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
