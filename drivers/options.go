package drivers

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Options reads a task's config block by name and type. Reading goes on after a fault; Err
// reports all faults at once, each with the option's name.
//
//	opt := drivers.NewOptions(spec.Config)
//	command, args := opt.String("command"), opt.Strings("args")
//	if err := opt.Err(); err != nil { … }
type Options struct {
	values map[string]any
	prefix string
	errs   *[]error
}

// NewOptions reads from a config block as jobs carry it: strings, numbers, bools, lists and
// maps; a nested block is a map or a list of maps.
func NewOptions(config map[string]any) Options {
	return Options{values: config, errs: new([]error)}
}

// Err returns all faults found so far, joined, or nil.
func (o Options) Err() error { return errors.Join(*o.errs...) }

// Has says whether the option is written.
func (o Options) Has(name string) bool { return o.values[name] != nil }

// String returns a text; numbers and bools are written as text. Absent: empty.
func (o Options) String(name string) string {
	s, ok := text(o.values[name])
	if !ok {
		o.wrong(name, "a string")
	}
	return s
}

// Int returns a whole number, also one written as text. Absent: 0.
func (o Options) Int(name string) int64 {
	switch v := o.values[name].(type) {
	case nil:
		return 0
	case int:
		return int64(v)
	case int64:
		return v
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	o.wrong(name, "a whole number")
	return 0
}

// Bool returns a truth value, also one written as text. Absent: false.
func (o Options) Bool(name string) bool {
	switch v := o.values[name].(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b
		}
	}
	o.wrong(name, "true or false")
	return false
}

// Duration returns a time span written as text ("30s"). Absent: 0.
func (o Options) Duration(name string) time.Duration {
	v := o.values[name]
	if v == nil || v == "" {
		return 0
	}
	if s, ok := v.(string); ok {
		if d, err := time.ParseDuration(s); err == nil {
			return d
		}
	}
	o.wrong(name, `a duration such as "30s"`)
	return 0
}

// Strings returns a list of texts. Absent: nil.
func (o Options) Strings(name string) []string {
	switch v := o.values[name].(type) {
	case nil:
		return nil
	case []string:
		return v
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			s, ok := text(e)
			if !ok || e == nil {
				o.wrong(name, "a list of strings")
				return nil
			}
			out[i] = s
		}
		return out
	}
	o.wrong(name, "a list of strings")
	return nil
}

// Map returns texts by key, from a map, a block or several blocks (later ones win). Absent: nil.
func (o Options) Map(name string) map[string]string {
	if o.values[name] == nil {
		return nil
	}
	out := map[string]string{}
	for _, m := range o.maps(name) {
		for k, e := range m {
			s, ok := text(e)
			if !ok {
				o.wrong(name, "a map of strings")
				return nil
			}
			out[k] = s
		}
	}
	return out
}

// Blocks returns the nested blocks of a name. Their faults are reported by the same Err.
func (o Options) Blocks(name string) []Options {
	var out []Options
	for i, m := range o.maps(name) {
		out = append(out, Options{values: m, prefix: fmt.Sprintf("%s%s[%d].", o.prefix, name, i), errs: o.errs})
	}
	return out
}

func (o Options) maps(name string) []map[string]any {
	switch v := o.values[name].(type) {
	case nil:
		return nil
	case map[string]any:
		return []map[string]any{v}
	case []map[string]any:
		return v
	case []any:
		out := make([]map[string]any, 0, len(v))
		for _, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				o.wrong(name, "a block")
				return nil
			}
			out = append(out, m)
		}
		return out
	}
	o.wrong(name, "a block")
	return nil
}

func (o Options) wrong(name, want string) {
	*o.errs = append(*o.errs, fmt.Errorf("option %q: want %s, got %v", o.prefix+name, want, o.values[name]))
}

func text(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}
