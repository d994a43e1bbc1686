package nomadish

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// number reads a number into a field of a numeric type.
func (d *jsonDecoder) number(v reflect.Value) error {
	text, err := d.numberText()
	if err != nil {
		return err
	}
	bits := v.Type().Bits()
	want := "a number"
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(string(text), bits); err == nil {
			v.SetFloat(f)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var n uint64
		if n, err = strconv.ParseUint(string(text), 10, bits); err == nil {
			v.SetUint(n)
		}
		want = fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-bits))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		if n, err = strconv.ParseInt(string(text), 10, bits); err == nil {
			v.SetInt(n)
		}
		limit := int64(math.MaxInt64) >> (64 - bits)
		want = fmt.Sprintf("a whole number from %d to %d", -limit-1, limit)
	default:
		return fmt.Errorf("decode JSON into a %s: unsupported", v.Type())
	}
	if err != nil {
		return Errorf(KindInvalid, "%s: want %s, got %s", d.where(), want, shorten(text))
	}
	return nil
}

// freeNumber reads a number as int64 if it is whole and fits, else as float64.
func (d *jsonDecoder) freeNumber() (any, error) {
	text, err := d.numberText()
	if err != nil {
		return nil, err
	}
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && string(text) != "-0" {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, Errorf(KindInvalid, "%s: %s is out of range", d.where(), shorten(text))
	}
	return f, nil
}

func shorten(s []byte) string {
	if len(s) > 40 {
		return string(s[:40]) + "…"
	}
	return string(s)
}
