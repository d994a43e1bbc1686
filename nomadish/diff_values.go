package nomadish

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// differ compares the parts of two jobs.
type differ struct {
	submitted bool // one of them is stored and the other is not
}

// diffBody is how two structs of the same type differ.
type diffBody struct {
	fields  []*FieldDiff
	objects []*ObjectDiff
	changed bool
}

// structs compares two structs, each behind a pointer that may be nil. With context, fields
// that do not differ are shown as well.
func (d differ) structs(old, next reflect.Value, context bool) diffBody {
	var body diffBody
	both := !old.IsNil() && !next.IsNil()
	fields := diffStructOf(old.Type().Elem())
	for i := range fields {
		f := &fields[i]
		was, is := member(old, f.index), member(next, f.index)
		if f.quiet && !both || f.nonzero && zero(was) && zero(is) {
			continue
		}
		switch f.kind {
		case diffScalar, diffTexts:
			d.scalars(&body, f, was, is, context && !f.quiet)
		default:
			d.blocks(&body, f, was, is, context && !f.quiet)
		}
	}
	slices.SortStableFunc(body.fields, compareFields)
	return body
}

// member returns a field of a struct behind a pointer, or the invalid value of none.
func member(p reflect.Value, index int) reflect.Value {
	if p.IsNil() {
		return reflect.Value{}
	}
	return p.Elem().Field(index)
}

// scalar is scalar as the field's tag wants it.
func (f *diffField) scalar(v reflect.Value) (string, bool) {
	if f.zero && v.IsValid() && v.Kind() == reflect.Pointer && v.IsNil() {
		return scalar(reflect.Zero(v.Type().Elem()))
	}
	return scalar(v)
}

func zero(v reflect.Value) bool { return !v.IsValid() || v.IsZero() }

// scalars compares two values, or two maps of texts value by value.
func (d differ) scalars(body *diffBody, f *diffField, was, is reflect.Value, context bool) {
	if f.kind == diffScalar {
		oldText, hadOld := f.scalar(was)
		newText, hasNew := f.scalar(is)
		if hadOld || hasNew {
			body.field(f, f.name, oldText, newText, differs(oldText, newText), context)
		}
		return
	}
	old, next := texts(was), texts(is)
	for _, key := range keys(old, next) {
		oldText, hadOld := old[key]
		newText, hasNew := next[key]
		kind := differs(oldText, newText)
		if kind == DiffNone && hadOld != hasNew { // an empty value is one too
			kind = diffType(hadOld, hasNew, true)
		}
		body.field(f, f.name+"["+key+"]", oldText, newText, kind, context)
	}
}

// differs says how two texts differ, of which an empty one is none.
func differs(old, next string) string { return diffType(old != "", next != "", old != next) }

func (b *diffBody) field(f *diffField, name, old, next, kind string, context bool) {
	if kind == DiffNone && !context {
		return
	}
	if f.secret {
		old, next = redacted(old), redacted(next)
	}
	b.add(&FieldDiff{Type: kind, Name: name, Old: old, New: next})
}

func (b *diffBody) add(f *FieldDiff) {
	b.fields = append(b.fields, f)
	b.changed = b.changed || f.Type != DiffNone
}

// redacted stands for a secret.
func redacted(secret string) string {
	if secret == "" {
		return ""
	}
	return "<redacted>"
}

// blocks compares what is shown as blocks: structs, lists and free maps.
func (d differ) blocks(body *diffBody, f *diffField, was, is reflect.Value, context bool) {
	var objects []*ObjectDiff
	named := f.kind == diffStruct || f.kind == diffStructs // those are shown only where they differ
	if named && was.IsValid() && is.IsValid() && reflect.DeepEqual(was.Interface(), is.Interface()) {
		return
	}
	switch f.kind {
	case diffList:
		objects = append(objects, d.list(f, strs(was), strs(is), context))
	case diffFree:
		objects = append(objects, d.free(f, flat(was), flat(is), context))
	case diffStruct:
		objects = append(objects, d.object(f, pointer(was, f), pointer(is, f)))
	case diffStructs:
		for _, p := range matched(f, elements(was), elements(is)) {
			objects = append(objects, d.object(f, p.old, p.next))
		}
		slices.SortStableFunc(objects, compareObjects)
	}
	for _, o := range objects {
		if o == nil || o.Type == DiffNone && (!context || named) {
			continue
		}
		body.objects = append(body.objects, o)
		body.changed = body.changed || o.Type != DiffNone
	}
}

// object compares two blocks.
func (d differ) object(f *diffField, old, next reflect.Value) *ObjectDiff {
	if old.IsNil() && next.IsNil() {
		return nil
	}
	body := d.structs(old, next, true)
	return &ObjectDiff{Type: diffType(!old.IsNil(), !next.IsNil(), body.changed), Name: f.name, Fields: body.fields, Objects: body.objects}
}

// free compares two maps of anything, which are flat already.
func (d differ) free(f *diffField, old, next map[string]string, context bool) *ObjectDiff {
	if len(old)+len(next) == 0 {
		return nil
	}
	var body diffBody
	for _, key := range keys(old, next) {
		was, is := old[key], next[key]
		kind := differs(was, is)
		if secretOption(key) {
			was, is = redacted(was), redacted(is)
		}
		body.field(f, key, was, is, kind, true)
	}
	slices.SortStableFunc(body.fields, compareFields)
	return &ObjectDiff{Type: diffType(len(old) > 0, len(next) > 0, body.changed), Name: f.name, Fields: body.fields}
}

// list compares two lists of texts: which elements came, went and stayed. Where only their
// order is another, place by place.
func (d differ) list(f *diffField, old, next []string, context bool) *ObjectDiff {
	if len(old)+len(next) == 0 {
		return nil
	}
	var body diffBody
	count := map[string]int{}
	for _, s := range next {
		count[s]++
	}
	for _, s := range old {
		if count[s] > 0 {
			count[s]--
			body.field(f, f.name, s, s, DiffNone, true)
			continue
		}
		body.field(f, f.name, s, "", DiffDeleted, true)
	}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		for range count[s] {
			body.field(f, f.name, "", s, DiffAdded, true)
		}
	}
	if !body.changed && !slices.Equal(old, next) {
		body = diffBody{}
		for i := range old {
			body.field(f, f.name, old[i], next[i], differs(old[i], next[i]), true)
		}
	}
	slices.SortStableFunc(body.fields, compareFields)
	return &ObjectDiff{Type: diffType(len(old) > 0, len(next) > 0, body.changed), Name: f.name, Fields: body.fields}
}

// matched pairs the blocks of two lists that are not in both: those whose key is the same, in
// their order. What is left was added or deleted.
func matched(f *diffField, old, next []reflect.Value) []pair[reflect.Value] {
	none := reflect.Zero(reflect.PointerTo(f.elem))
	old, next = without(old, next), without(next, old)
	var pairs []pair[reflect.Value]
	waiting := map[string][]int{} // by key: the pairs whose new side is missing
	for i, v := range old {
		pairs = append(pairs, pair[reflect.Value]{v, none})
		if f.key >= 0 {
			key, _ := scalar(v.Elem().Field(f.key))
			waiting[key] = append(waiting[key], i)
		}
	}
	for _, v := range next {
		if f.key >= 0 {
			key, _ := scalar(v.Elem().Field(f.key))
			if at := waiting[key]; len(at) > 0 {
				pairs[at[0]].next, waiting[key] = v, at[1:]
				continue
			}
		}
		pairs = append(pairs, pair[reflect.Value]{none, v})
	}
	return pairs
}

// without returns the elements that are not in other as well.
func without(list, other []reflect.Value) []reflect.Value {
	in := map[string]bool{}
	for _, v := range other {
		in[identity(v)] = true
	}
	var kept []reflect.Value
	for _, v := range list {
		if !in[identity(v)] {
			kept = append(kept, v)
		}
	}
	return kept
}

// identity is a text that equal blocks have in common.
func identity(v reflect.Value) string {
	text, err := EncodeJSON(v.Interface())
	if err != nil {
		return fmt.Sprintf("%p", v.Interface()) // a value that JSON has no form for, such as infinity
	}
	return string(text)
}

// keys returns the keys of both maps, sorted.
func keys(a, b map[string]string) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// scalar writes a value as diffs show it: durations in nanoseconds. A nil pointer is none.
func scalar(v reflect.Value) (text string, ok bool) {
	if !v.IsValid() {
		return "", false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return "", false
		}
		return scalar(v.Elem())
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), true
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64), true
	case reflect.Slice: // bytes
		return string(v.Bytes()), v.Len() > 0
	}
	return "", false
}

func texts(v reflect.Value) map[string]string {
	if !v.IsValid() {
		return nil
	}
	m, _ := v.Interface().(map[string]string)
	return m
}

// strs returns the elements of a list of values.
func strs(v reflect.Value) []string {
	if !v.IsValid() {
		return nil
	}
	out := make([]string, v.Len())
	for i := range out {
		out[i], _ = scalar(v.Index(i))
	}
	return out
}

// flat makes one map of a map of anything: {"a": [{"b": 1}]} becomes {"a[0][b]": "1"}.
func flat(v reflect.Value) map[string]string {
	out := map[string]string{}
	if v.IsValid() {
		for it := v.MapRange(); it.Next(); {
			flatten(out, it.Key().String(), it.Value())
		}
	}
	return out
}

// secretOption says whether an option of a driver is a secret by its name: a registry's
// password ("auth[0][password]"), a token, a secret.
func secretOption(key string) bool {
	name := strings.ToLower(key[strings.LastIndexByte(key, '[')+1:])
	return strings.Contains(name, "password") || strings.Contains(name, "token") || strings.Contains(name, "secret")
}

func flatten(out map[string]string, name string, v reflect.Value) {
	for v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			flatten(out, name+"["+it.Key().String()+"]", it.Value())
		}
	case reflect.Slice:
		for i := range v.Len() {
			flatten(out, name+"["+strconv.Itoa(i)+"]", v.Index(i))
		}
	default:
		out[name], _ = scalar(v)
	}
}

// pointer returns a pointer to a struct, nil where there is none.
func pointer(v reflect.Value, f *diffField) reflect.Value {
	if !v.IsValid() {
		return reflect.Zero(reflect.PointerTo(f.elem))
	}
	return v
}

// elements returns pointers to the structs of a list, or of a map in the order of its keys.
func elements(v reflect.Value) []reflect.Value {
	if !v.IsValid() {
		return nil
	}
	var out []reflect.Value
	add := func(e reflect.Value) {
		if e.Kind() == reflect.Struct {
			p := reflect.New(e.Type())
			p.Elem().Set(e)
			e = p
		}
		if !e.IsNil() {
			out = append(out, e)
		}
	}
	if v.Kind() == reflect.Map {
		byKey := map[string]reflect.Value{}
		for it := v.MapRange(); it.Next(); {
			byKey[it.Key().String()] = it.Value()
		}
		for _, e := range sorted(byKey) {
			add(e)
		}
		return out
	}
	for i := range v.Len() {
		add(v.Index(i))
	}
	return out
}
