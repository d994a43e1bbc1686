package nomadish

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// What the struct tag "diff" of a field says: a name for diffs, and after commas
//
//	key     elements of lists are the same when this field is
//	quiet   shown only where it differs between two that exist
//	nonzero shown only where it is not zero in one of them
//	zero    a nil pointer is shown as zero
//
// A field with the name "-" takes no part. Fields with the tag secret:"true" take part without
// their values.

// diffKind is how a field is shown.
type diffKind uint8

const (
	diffScalar  diffKind = iota // a value, or a pointer to one
	diffTexts                   // map[string]string: a field for each key
	diffList                    // a list of values: a block
	diffFree                    // a map of anything: a block
	diffStruct                  // a pointer to a struct: a block
	diffStructs                 // a list or map of structs: a block each
)

// diffField is what is known of a struct's field.
type diffField struct {
	name  string
	index int
	kind  diffKind
	elem  reflect.Type // for diffStruct and diffStructs
	key   int          // for diffStructs: the field of elem that names it, or -1

	quiet, nonzero, zero, secret bool
}

// diffFields caches []diffField per reflect.Type.
var diffFields sync.Map

func diffStructOf(t reflect.Type) []diffField {
	if fields, ok := diffFields.Load(t); ok {
		return fields.([]diffField)
	}
	var fields []diffField
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("diff"), ",")
		if name == "-" {
			continue
		}
		field := diffField{index: i, key: -1, quiet: opts == "quiet", nonzero: opts == "nonzero", zero: opts == "zero", secret: f.Tag.Get("secret") == "true"}
		field.kind, field.elem = diffKindOf(f.Type)
		field.name = cmp.Or(name, f.Name)
		if name == "" && field.kind == diffStructs {
			field.name = singular(f.Name)
		}
		if field.kind == diffStructs {
			field.key = keyOf(field.elem)
		}
		fields = append(fields, field)
	}
	inOrder := diffOrder[t]
	slices.SortStableFunc(fields, func(a, b diffField) int {
		return cmp.Compare(rankOf(inOrder, a.name), rankOf(inOrder, b.name))
	})
	actual, _ := diffFields.LoadOrStore(t, fields)
	return actual.([]diffField)
}

// diffOrder lists blocks that come before the others of a struct, which have the struct's order.
var diffOrder = map[reflect.Type][]string{
	reflect.TypeFor[Task](): {"Constraint", "Affinity", "Config", "Resources", "LogConfig", "Artifact", "VolumeMount", "Service"},
}

func rankOf(names []string, name string) int {
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	return len(names)
}

func diffKindOf(t reflect.Type) (diffKind, reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Struct {
			return diffStruct, t.Elem()
		}
	case reflect.Slice:
		switch elem := indirect(t.Elem()); elem.Kind() {
		case reflect.Struct:
			return diffStructs, elem
		case reflect.Uint8: // bytes
		default:
			return diffList, nil
		}
	case reflect.Map:
		elem := indirect(t.Elem())
		switch elem.Kind() {
		case reflect.Struct:
			return diffStructs, elem
		case reflect.String:
			return diffTexts, nil
		}
		return diffFree, nil
	}
	return diffScalar, nil
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func keyOf(t reflect.Type) int {
	for i := range t.NumField() {
		if _, opts, _ := strings.Cut(t.Field(i).Tag.Get("diff"), ","); opts == "key" {
			return i
		}
	}
	return -1
}

// singular makes the name of one block of the name of a list.
func singular(name string) string {
	if stem, ok := strings.CutSuffix(name, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(name, "s")
}
