package nomadish

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// jsonDecoder reads one document.
type jsonDecoder struct {
	data   []byte
	pos    int
	depth  int
	used   int // bytes that the decoded value takes
	limits JSONLimits
	path   []jsonStep
}

// jsonStep is a step from a value to one inside it: a key, or an index if key is empty.
type jsonStep struct {
	key   string
	index int
}

func (d *jsonDecoder) document(v reflect.Value) error {
	if err := d.value(v); err != nil {
		return err
	}
	if d.space(); d.pos < len(d.data) {
		return d.syntax("unexpected %q after the end", d.data[d.pos])
	}
	return nil
}

// where names the value being read.
func (d *jsonDecoder) where() string {
	if len(d.path) == 0 {
		return "body"
	}
	var b strings.Builder
	for i, s := range d.path {
		switch {
		case s.key == "":
			fmt.Fprintf(&b, "[%d]", s.index)
		case i > 0:
			b.WriteByte('.')
			fallthrough
		default:
			b.WriteString(s.key)
		}
	}
	return b.String()
}

// mismatch says that a value is of the wrong type.
func (d *jsonDecoder) mismatch(want string) error {
	if d.pos >= len(d.data) {
		return d.syntax("it ends too early")
	}
	got := "a number"
	switch c := d.data[d.pos]; {
	case c == '"':
		got = "a string"
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == 't' || c == 'f':
		got = "a boolean"
	case c == 'n':
		got = "null"
	case c != '-' && (c < '0' || c > '9'):
		return d.syntax("unexpected %q", c)
	}
	return Errorf(KindInvalid, "%s: want %s, got %s", d.where(), want, got)
}

// syntax says that the text is not JSON, and where.
func (d *jsonDecoder) syntax(format string, args ...any) error {
	if len(d.data) == 0 {
		return Errorf(KindInvalid, "body is empty, want JSON")
	}
	before := d.data[:min(d.pos, len(d.data))]
	line, column := 1, 1
	for _, c := range before {
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
	}
	return Errorf(KindInvalid, "body is not JSON: line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

// charge counts memory that the value takes.
func (d *jsonDecoder) charge(n int) error {
	if d.used += n; d.used > d.limits.Memory {
		return Errorf(KindTooLarge, "%s: body takes more than %d bytes when decoded", d.where(), d.limits.Memory)
	}
	return nil
}

// value reads a value into v. Null leaves v zero, or as it was if v can't be nil.
func (d *jsonDecoder) value(v reflect.Value) error {
	d.space()
	if d.pos < len(d.data) && d.data[d.pos] == 'n' {
		if err := d.literal("null"); err != nil {
			return err
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			v.SetZero()
		}
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			if err := d.charge(int(v.Type().Elem().Size())); err != nil {
				return err
			}
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(v.Elem())
	}
	if v.CanAddr() && v.Addr().Type().Implements(jsonUnmarshaler) {
		return d.unmarshaler(v)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.structure(v)
	case reflect.Map:
		return d.mapping(v)
	case reflect.Slice:
		return d.list(v)
	case reflect.Interface:
		return d.anything(v)
	}
	return d.scalar(v)
}

func (d *jsonDecoder) unmarshaler(v reflect.Value) error {
	start := d.pos
	if err := d.skip(); err != nil {
		return err
	}
	if err := d.charge(d.pos - start); err != nil {
		return err
	}
	if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(d.data[start:d.pos]); err != nil {
		return Errorf(KindInvalid, "%s: %w", d.where(), err)
	}
	return nil
}

func (d *jsonDecoder) structure(v reflect.Value) error {
	plan := jsonStructOf(v.Type())
	return d.object("an object", func(key []byte) error {
		f, ok := plan.field(key)
		if !ok {
			return d.skip()
		}
		d.path = append(d.path, jsonStep{key: f.name})
		if err := d.value(v.FieldByIndex(f.index)); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
		return nil
	})
}

func (d *jsonDecoder) mapping(v reflect.Value) error {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		return fmt.Errorf("decode JSON into a %s: keys are no strings", t)
	}
	m := reflect.MakeMap(t)
	slot := 16 + int(t.Elem().Size()) // of a key and its value
	err := d.object("an object", func(key []byte) error {
		name := string(key)
		d.path = append(d.path, jsonStep{key: name})
		cost := len(name) + 3*slot
		if m.Len() == 0 {
			cost += 8 * slot // the first slots come together
		}
		if err := d.charge(cost); err != nil {
			return err
		}
		elem := reflect.New(t.Elem()).Elem()
		if err := d.element(elem); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), elem)
		d.path = d.path[:len(d.path)-1]
		return nil
	})
	if err == nil {
		v.Set(m)
	}
	return err
}

// element reads a value of a list or map. Null is none where an object belongs, unless the
// limits say so.
func (d *jsonDecoder) element(v reflect.Value) error {
	d.space()
	if !d.limits.Nulls && v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct && d.pos < len(d.data) && d.data[d.pos] == 'n' {
		return d.mismatch("an object")
	}
	return d.value(v)
}

func (d *jsonDecoder) list(v reflect.Value) error {
	elem := v.Type().Elem()
	if elem.Kind() == reflect.Uint8 {
		return d.bytes(v)
	}
	hold := reflect.New(v.Type()).Elem()
	hold.Set(reflect.MakeSlice(v.Type(), 0, 0))
	n := 0
	err := d.array(func() error {
		d.path = append(d.path, jsonStep{index: n})
		if err := d.grow(hold, n+1); err != nil {
			return err
		}
		if err := d.element(hold.Index(n)); err != nil {
			return err
		}
		n++
		d.path = d.path[:len(d.path)-1]
		return nil
	})
	if err == nil {
		v.Set(hold)
	}
	return err
}

// grow makes list n long. It counts the memory of every copy on the way, since the last
// two live at once and the garbage collector may be late.
func (d *jsonDecoder) grow(list reflect.Value, n int) error {
	if n > list.Cap() {
		capacity := n + n/4 + 1
		if err := d.charge(capacity * int(list.Type().Elem().Size())); err != nil {
			return err
		}
		larger := reflect.MakeSlice(list.Type(), n-1, capacity)
		reflect.Copy(larger, list)
		list.Set(larger)
	}
	list.SetLen(n)
	return nil
}

func (d *jsonDecoder) bytes(v reflect.Value) error {
	if d.peek() != '"' {
		return d.mismatch("a string in base64")
	}
	s, err := d.text()
	if err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return Errorf(KindInvalid, "%s: not base64: %w", d.where(), err)
	}
	v.SetBytes(b)
	return nil
}

// scalar reads a string, boolean, number or duration.
func (d *jsonDecoder) scalar(v reflect.Value) error {
	c := d.peek()
	switch v.Kind() {
	case reflect.String:
		if c != '"' {
			return d.mismatch("a string")
		}
		s, err := d.text()
		if err != nil {
			return err
		}
		v.SetString(s)
		return nil
	case reflect.Bool:
		if c != 't' && c != 'f' {
			return d.mismatch("a boolean")
		}
		v.SetBool(c == 't')
		return d.literal(strconv.FormatBool(c == 't'))
	}
	if v.Type() == jsonDuration {
		return d.duration(v)
	}
	if c != '-' && (c < '0' || c > '9') {
		return d.mismatch("a number")
	}
	return d.number(v)
}

func (d *jsonDecoder) duration(v reflect.Value) error {
	switch c := d.peek(); {
	case c == '-' || c >= '0' && c <= '9':
		return d.number(v)
	case c != '"':
		return d.mismatch(`a duration (nanoseconds, or a string such as "30s")`)
	}
	s, err := d.text()
	if err != nil {
		return err
	}
	dur, err := time.ParseDuration(s)
	if err != nil {
		return Errorf(KindInvalid, "%s: %w", d.where(), err)
	}
	v.SetInt(int64(dur))
	return nil
}

// anything reads a value of whatever type it has.
func (d *jsonDecoder) anything(v reflect.Value) error {
	var x any
	switch c := d.peek(); {
	case c == '{':
		if err := d.charge(96); err != nil { // the empty map
			return err
		}
		m := map[string]any{}
		if err := d.mapping(reflect.ValueOf(&m).Elem()); err != nil {
			return err
		}
		x = m
	case c == '[':
		if err := d.charge(64); err != nil { // the empty list
			return err
		}
		l := []any{}
		if err := d.list(reflect.ValueOf(&l).Elem()); err != nil {
			return err
		}
		x = l
	case c == '"':
		s, err := d.text()
		if err != nil {
			return err
		}
		x = s
	case c == 't' || c == 'f':
		if err := d.literal(strconv.FormatBool(c == 't')); err != nil {
			return err
		}
		x = c == 't'
	default:
		n, err := d.freeNumber()
		if err != nil {
			return err
		}
		x = n
	}
	if err := d.charge(16); err != nil { // the box around the value
		return err
	}
	v.Set(reflect.ValueOf(x))
	return nil
}
