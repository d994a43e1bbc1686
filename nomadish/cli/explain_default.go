package cli

import (
	"fmt"
	"reflect"

	"github.com/nomadish/nomadish/nomadish"
)

// probeID is the ID of the job whose defaults are looked at: it shows where they are made of it.
const probeID = "<ID>"

// defaultOf is the value that an attribute gets where it is left out: a job that has nothing but
// the blocks around it is admitted, as a server would.
func defaultOf(at place) string {
	for _, fill := range []func(*nomadish.Job){(*nomadish.Job).Normalize, (*nomadish.Job).Admit} {
		job := &nomadish.Job{ID: nomadish.Ptr(probeID)}
		if dig(reflect.ValueOf(job).Elem(), at.fields, true) == (reflect.Value{}) {
			return ""
		}
		fill(job)
		v := dig(reflect.ValueOf(job).Elem(), at.fields, false)
		if text := valueWords(v); text != "" && at.path != "job.id" {
			return text
		}
	}
	return ""
}

// dig goes down fields and returns the value there, making what is missing on the way if asked.
func dig(v reflect.Value, fields []int, fill bool) reflect.Value {
	for i, field := range fields {
		v = v.Field(field)
		if i == len(fields)-1 {
			break
		}
		if fill && v.IsZero() {
			v.Set(one(v.Type()))
		}
		switch v.Kind() {
		case reflect.Slice:
			if v.Len() == 0 {
				return reflect.Value{}
			}
			v = v.Index(0)
		case reflect.Map:
			keys := v.MapKeys()
			if len(keys) == 0 {
				return reflect.Value{}
			}
			v = v.MapIndex(keys[0])
		}
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}
			}
			v = v.Elem()
		}
	}
	return v
}

// one makes a value that holds one thing: a pointer to it, a list or a map of it.
func one(t reflect.Type) reflect.Value {
	switch t.Kind() {
	case reflect.Pointer:
		return reflect.New(t.Elem())
	case reflect.Slice:
		return reflect.Append(reflect.MakeSlice(t, 0, 1), one(t.Elem()))
	case reflect.Map:
		m := reflect.MakeMap(t)
		m.SetMapIndex(reflect.ValueOf("x"), one(t.Elem()))
		return m
	}
	return reflect.Zero(t)
}

// valueWords writes a default; what is empty is none.
func valueWords(v reflect.Value) string {
	if v.IsValid() && v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		return ""
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			return ""
		}
	case reflect.String:
		if v.Len() == 0 {
			return ""
		}
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}
