package nomadish

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonEncoder writes one value.
type jsonEncoder struct {
	out    []byte
	stored bool // inside a stored job
	free   bool // inside a value of any type
}

func (e *jsonEncoder) value(v reflect.Value) error {
	if !v.IsValid() {
		e.out = append(e.out, "null"...)
		return nil
	}
	if v.Type().Implements(jsonMarshaler) {
		return e.marshaler(v)
	}
	switch v.Kind() {
	case reflect.Bool:
		e.out = strconv.AppendBool(e.out, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.out = strconv.AppendInt(e.out, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.out = strconv.AppendUint(e.out, v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return e.float(v.Float(), v.Type().Bits())
	case reflect.String:
		e.out = appendJSONString(e.out, v.String())
	case reflect.Pointer:
		return e.value(v.Elem())
	case reflect.Interface:
		outer := e.free
		e.free = true
		err := e.value(v.Elem())
		e.free = outer
		return err
	case reflect.Struct:
		return e.structure(v)
	case reflect.Map:
		return e.mapping(v)
	case reflect.Slice, reflect.Array:
		return e.list(v)
	default:
		return fmt.Errorf("a %s has no JSON form", v.Type())
	}
	return nil
}

func (e *jsonEncoder) marshaler(v reflect.Value) error {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		e.out = append(e.out, "null"...)
		return nil
	}
	text, err := v.Interface().(json.Marshaler).MarshalJSON()
	if err != nil {
		return err
	}
	buf := bytes.NewBuffer(e.out)
	if err := json.Compact(buf, text); err != nil {
		return err
	}
	e.out = buf.Bytes()
	return nil
}

func (e *jsonEncoder) float(f float64, bits int) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return fmt.Errorf("%v has no JSON form", f)
	}
	format, start := byte('f'), len(e.out)
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.out = strconv.AppendFloat(e.out, f, format, -1, bits)
	if e.free && !bytes.ContainsAny(e.out[start:], ".e") {
		e.out = append(e.out, ".0"...) // so that it is read as a float again
	}
	return nil
}

func (e *jsonEncoder) structure(v reflect.Value) error {
	outer := e.stored
	if v.Type() == jsonJob {
		index, _ := v.FieldByName("JobModifyIndex").Interface().(*uint64)
		e.stored = Val(index) != 0
	}
	sep := byte('{')
	plan := jsonStructOf(v.Type())
	for i := range plan.fields {
		f := &plan.fields[i]
		field := v.FieldByIndex(f.index)
		if !e.shows(f, field) {
			continue
		}
		if f.secret {
			field = reflect.Zero(field.Type())
		}
		e.out = append(append(e.out, sep), f.key...)
		if err := e.value(field); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		sep = ','
	}
	if sep == '{' {
		e.out = append(e.out, sep)
	}
	e.out = append(e.out, '}')
	e.stored = outer
	return nil
}

// shows says whether a field is there in the shape being written.
func (e *jsonEncoder) shows(f *jsonField, v reflect.Value) bool {
	if e.stored {
		switch f.stored {
		case "-":
			return false
		case "always", "only":
			return true
		case "omitempty":
			return !isEmpty(v) && (v.Kind() != reflect.Pointer || !v.Elem().IsZero())
		}
	} else if f.stored == "only" {
		return false
	}
	return !f.omitEmpty || !isEmpty(v)
}

// isEmpty says what omitempty says.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func (e *jsonEncoder) mapping(v reflect.Value) error {
	if v.Type().Key().Kind() != reflect.String {
		return fmt.Errorf("a %s has no JSON form", v.Type())
	}
	if v.IsNil() {
		e.out = append(e.out, "null"...)
		return nil
	}
	if t := v.Type(); t.Key() == jsonString && t.Elem() == jsonString { // under whatever name
		e.stringMap(v.Convert(jsonStringMap).Interface().(map[string]string))
		return nil
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	sep := byte('{')
	for _, k := range keys {
		e.out = append(appendJSONString(append(e.out, sep), k.String()), ':')
		if err := e.value(v.MapIndex(k)); err != nil {
			return fmt.Errorf("%q: %w", k.String(), err)
		}
		sep = ','
	}
	if sep == '{' {
		e.out = append(e.out, sep)
	}
	e.out = append(e.out, '}')
	return nil
}

func (e *jsonEncoder) stringMap(m map[string]string) {
	sep := byte('{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		e.out = append(appendJSONString(append(e.out, sep), k), ':')
		e.out = appendJSONString(e.out, m[k])
		sep = ','
	}
	if sep == '{' {
		e.out = append(e.out, sep)
	}
	e.out = append(e.out, '}')
}

func (e *jsonEncoder) list(v reflect.Value) error {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			e.out = append(e.out, "null"...)
			return nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			e.out = append(e.out, '"')
			e.out = base64.StdEncoding.AppendEncode(e.out, v.Bytes())
			e.out = append(e.out, '"')
			return nil
		}
	}
	e.out = append(e.out, '[')
	for i := range v.Len() {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		if err := e.value(v.Index(i)); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	e.out = append(e.out, ']')
	return nil
}

// appendJSONString appends s in quotes. What is not UTF-8 becomes U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), `\ufffd`...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
