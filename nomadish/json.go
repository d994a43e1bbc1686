package nomadish

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
)

// JSONLimits bound what is decoded from JSON that somebody sent. A zero field means its
// default, a negative one no limit.
type JSONLimits struct {
	Depth  int // arrays and objects inside each other; default 1024
	Keys   int // keys of one object; default 10000
	Memory int // bytes that the decoded value takes, roughly; default 16 MiB

	Nulls bool // lists and maps of objects may hold null; default: that is an error
}

func (l JSONLimits) withDefaults() JSONLimits {
	const unlimited = int(^uint(0) >> 1)
	for _, f := range []struct {
		limit *int
		value int
	}{{&l.Depth, 1024}, {&l.Keys, 10_000}, {&l.Memory, 16 << 20}} {
		switch {
		case *f.limit == 0:
			*f.limit = f.value
		case *f.limit < 0:
			*f.limit = unlimited
		}
	}
	return l
}

// DecodeJSON reads a request's body into v, a pointer, under the default limits.
//
// It differs from encoding/json in what a user sees: an error names the field as a path
// (TaskGroups[0].Count) and what was wanted there; durations are nanoseconds or strings
// such as "30s"; text that is not UTF-8 is an error; a list of objects holds no null;
// numbers in free maps, such as a task's config, stay whole (int64) where they are.
// Keys match without regard to case, and unknown ones are skipped, as Nomad does it.
// The error is of KindInvalid, or of KindTooLarge.
func DecodeJSON(data []byte, v any) error {
	return JSONLimits{}.Decode(data, v)
}

// Decode is DecodeJSON under these limits.
func (l JSONLimits) Decode(data []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("decode JSON into %T: not a pointer", v)
	}
	d := jsonDecoder{data: data, limits: l.withDefaults()}
	return d.document(target.Elem())
}

// EncodeJSON writes v as the API shows it. It does what encoding/json does, with two
// differences: < > & stay as they are, and a stored job (see [Job.Stored]) has the keys
// that Nomad shows of a stored job; all others have those of a submitted one.
//
// The two shapes differ in a few keys only, which the struct tag "stored" tells: "-" is
// left out of a stored job, "omitempty" is left out when zero, "always" is there even if
// the json tag says omitempty, and "only" is in stored jobs alone.
func EncodeJSON(v any) ([]byte, error) {
	e := jsonEncoder{out: make([]byte, 0, jsonRoom)}
	if err := e.value(reflect.ValueOf(v)); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return e.out, nil
}

// jsonRoom is what most values fit into, without growing on the way.
const jsonRoom = 512

// jsonField is what the codec knows of one field of a struct.
type jsonField struct {
	name      string
	key       []byte // "name":
	index     []int
	omitEmpty bool
	stored    string // the stored tag
	secret    bool   // shown as empty, with the tag secret:"true"
}

// jsonStruct is what the codec knows of a struct type.
type jsonStruct struct {
	fields []jsonField
	exact  map[string]int
	folded map[string]int // by lower-case name
}

// field finds the field for a key.
func (s *jsonStruct) field(key []byte) (*jsonField, bool) {
	i, ok := s.exact[string(key)]
	if !ok {
		i, ok = s.folded[strings.ToLower(string(key))]
	}
	if !ok {
		return nil, false
	}
	return &s.fields[i], true
}

// jsonStructs caches a *jsonStruct per reflect.Type.
var jsonStructs sync.Map

func jsonStructOf(t reflect.Type) *jsonStruct {
	if s, ok := jsonStructs.Load(t); ok {
		return s.(*jsonStruct)
	}
	s := &jsonStruct{exact: map[string]int{}, folded: map[string]int{}}
	s.add(t, nil)
	for i, f := range s.fields {
		s.exact[f.name] = i
		if _, taken := s.folded[strings.ToLower(f.name)]; !taken {
			s.folded[strings.ToLower(f.name)] = i
		}
	}
	actual, _ := jsonStructs.LoadOrStore(t, s)
	return actual.(*jsonStruct)
}

// add collects the fields of t, those of embedded structs among them.
func (s *jsonStruct) add(t reflect.Type, parent []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		index := append(append([]int(nil), parent...), i)
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			s.add(f.Type, index)
			continue
		}
		if name == "" {
			name = f.Name
		}
		s.fields = append(s.fields, jsonField{
			name:      name,
			key:       append(appendJSONString(nil, name), ':'),
			index:     index,
			omitEmpty: opts == "omitempty",
			stored:    f.Tag.Get("stored"),
			secret:    f.Tag.Get("secret") == "true",
		})
	}
}

var (
	jsonDuration    = reflect.TypeFor[time.Duration]()
	jsonJob         = reflect.TypeFor[Job]()
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	jsonString      = reflect.TypeFor[string]()
	jsonStringMap   = reflect.TypeFor[map[string]string]()
)

// Stored says that the job comes from the state of a cluster: it has a JobModifyIndex.
func (j *Job) Stored() bool { return Val(j.JobModifyIndex) != 0 }
