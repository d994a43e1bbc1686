package codec

import (
	"fmt"
	"reflect"
	"slices"
)

// Tags of values of type any.
const (
	tagNil = iota
	tagFalse
	tagTrue
	tagInt
	tagFloat
	tagString
	tagList
	tagMap
	tagBytes
)

// AppendAny appends a value as job files and JSON give it: nil, bool, string, int64,
// float64, []any, map[string]any. Other integers and floats become int64 and float64,
// other lists and maps []any and map[string]any. Anything else is written as
// fmt.Sprint shows it.
func AppendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, tagNil)
	case bool:
		if v {
			return append(b, tagTrue)
		}
		return append(b, tagFalse)
	case string:
		return AppendString(append(b, tagString), v)
	case int:
		return AppendInt(append(b, tagInt), int64(v))
	case int64:
		return AppendInt(append(b, tagInt), v)
	case float64:
		return AppendFloat(append(b, tagFloat), v)
	case []byte:
		return AppendBytes(append(b, tagBytes), v)
	case []any:
		b = AppendCount(append(b, tagList), len(v), v == nil)
		for _, e := range v {
			b = AppendAny(b, e)
		}
		return b
	case map[string]any:
		return AppendAnyMap(append(b, tagMap), v)
	}
	return AppendAny(b, plain(v))
}

// AppendAnyMap appends a map of values as AppendAny takes them.
func AppendAnyMap(b []byte, m map[string]any) []byte {
	b = AppendCount(b, len(m), m == nil)
	var few [16]string // spares most maps an allocation
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b = AppendString(b, k)
		b = AppendAny(b, m[k])
	}
	return b
}

// plain turns a value of an unusual type into one of those that AppendAny writes. Job
// files and JSON never give one, so this may be slow.
func plain(v any) any {
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Bool:
		return rv.Bool()
	case reflect.String:
		return rv.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return rv.Int()
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(rv.Uint())
	case reflect.Float32, reflect.Float64:
		return rv.Float()
	case reflect.Slice, reflect.Array:
		list := make([]any, rv.Len())
		for i := range list {
			list[i] = rv.Index(i).Interface()
		}
		return list
	case reflect.Map:
		if rv.Type().Key().Kind() != reflect.String {
			break
		}
		m := make(map[string]any, rv.Len())
		for _, k := range rv.MapKeys() {
			m[k.String()] = rv.MapIndex(k).Interface()
		}
		return m
	}
	return fmt.Sprint(v)
}

// Any reads a value that AppendAny wrote.
func (r *Reader) Any() any {
	switch tag := r.Uint(); tag {
	case tagNil:
		return nil
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagInt:
		return r.Int()
	case tagFloat:
		return r.Float()
	case tagString:
		return r.Str()
	case tagBytes:
		return r.Bytes()
	case tagList:
		return r.anyList()
	case tagMap:
		return r.AnyMap()
	}
	r.fail(ErrMalformed)
	return nil
}

func (r *Reader) anyList() []any {
	if r.depth == 0 {
		r.fail(ErrTooDeep)
		return nil
	}
	r.depth--
	defer func() { r.depth++ }()
	n, ok := r.Count(32) // an interface and a small value behind it
	if !ok {
		return nil
	}
	list := make([]any, n)
	for i := 0; i < n && r.OK(); i++ {
		list[i] = r.Any()
	}
	return list
}

// AnyMap reads a map that AppendAnyMap wrote.
func (r *Reader) AnyMap() map[string]any {
	if r.depth == 0 {
		r.fail(ErrTooDeep)
		return nil
	}
	r.depth--
	defer func() { r.depth++ }()
	n, ok := r.MapCount(32)
	if !ok {
		return nil
	}
	m := make(map[string]any, n)
	for i, k := 0, ""; i < n && r.OK(); i++ {
		k = r.Key(i == 0, k)
		m[k] = r.Any()
	}
	return m
}
