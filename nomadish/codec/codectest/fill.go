package codectest

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"
)

var timeType = reflect.TypeFor[time.Time]()

// one sets v to a value that is not zero. Records inside stay as empty as they can, so
// that a new field of theirs does not change the encoding.
func one(v reflect.Value, name string) {
	if v.Type() == timeType {
		v.Set(reflect.ValueOf(time.Date(2024, 2, 29, 12, 30, 45, 123456789, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8:
		v.SetInt(-100)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-12345)
	case reflect.Uint8:
		v.SetUint(200)
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(54321)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(-1.5)
	case reflect.String:
		v.SetString("the " + name)
	case reflect.Interface:
		v.Set(reflect.ValueOf(anything()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if v.Type().Elem().Kind() != reflect.Struct || v.Type().Elem() == timeType {
			one(v.Elem(), name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2)) // the second stays zero
		one(v.Index(0), name)
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		one(e, name)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("b"), e)
		v.SetMapIndex(reflect.ValueOf("a"), reflect.Zero(v.Type().Elem()))
	case reflect.Struct:
		if list := fields(v.Type()); len(list) > 0 {
			one(v.FieldByIndex(list[0].Index), list[0].Name)
		}
	}
}

// anything is a value with one of every kind that job files have.
func anything() map[string]any {
	return map[string]any{
		"nil":   nil,
		"bool":  []any{true, false},
		"int":   int64(-7),
		"float": 0.25,
		"text":  "ü",
		"map":   map[string]any{"empty": map[string]any{}},
		"list":  []any{},
	}
}

// Fill sets v, a pointer to a struct, to random values, with absent and empty ones among
// them. The same source gives the same values.
func Fill(rnd *rand.Rand, v any) { fill(rnd, reflect.ValueOf(v).Elem(), 6) }

func fill(rnd *rand.Rand, v reflect.Value, depth int) {
	if rnd.IntN(4) == 0 {
		return
	}
	if v.Type() == timeType {
		v.Set(reflect.ValueOf(time.Unix(rnd.Int64N(4e9), rnd.Int64N(1e9)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rnd.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rnd.Uint64()) >> (64 - v.Type().Bits() + rnd.IntN(v.Type().Bits())))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rnd.Uint64() >> (64 - v.Type().Bits() + rnd.IntN(v.Type().Bits())))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(rnd.NormFloat64())
	case reflect.String:
		v.SetString(text(rnd))
	case reflect.Interface:
		if depth > 0 {
			v.Set(reflect.ValueOf(anything()))
		}
	default:
		fillContainer(rnd, v, depth)
	}
}

func fillContainer(rnd *rand.Rand, v reflect.Value, depth int) {
	n := max(min(rnd.IntN(4), depth), 0)
	switch v.Kind() {
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rnd, v.Elem(), depth-1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rnd, v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(rnd, e, depth-1)
			v.SetMapIndex(reflect.ValueOf(text(rnd)), e)
		}
	case reflect.Struct:
		for _, f := range fields(v.Type()) {
			fill(rnd, v.FieldByIndex(f.Index), depth-1)
		}
	}
}

func text(rnd *rand.Rand) string {
	words := []string{"", "web", "default", "${attr.kernel.name}", "naïve\x00", "a longer text that takes some room"}
	return words[rnd.IntN(len(words))] + strconv.Itoa(rnd.IntN(100))
}
