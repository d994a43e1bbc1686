package nomadish

import (
	"reflect"

	"github.com/nomadish/nomadish/nomadish/codec"
)

// Copy returns a copy that shares nothing with j. Admitted jobs in state are shared and
// never changed, so whoever wants another one copies it first.
func (j *Job) Copy() *Job { return deepCopy(j) }

// Copy returns a copy that shares nothing with g.
func (g *TaskGroup) Copy() *TaskGroup { return deepCopy(g) }

// Copy returns a copy that shares nothing with t.
func (t *Task) Copy() *Task { return deepCopy(t) }

// Detached returns a copy of a, without its Job, that stands alone in memory. The strings of
// all that was read from one message share the message's bytes: who keeps one allocation of a
// long list keeps all of the list, unless it keeps a copy.
func (a *Allocation) Detached() (*Allocation, error) {
	out := &Allocation{}
	return out, codec.UnmarshalTrusted(codec.Marshal(a), out)
}

// Detached is like that of Allocation.
func (j *Job) Detached() (*Job, error) {
	out := &Job{}
	return out, codec.UnmarshalTrusted(codec.Marshal(j), out)
}

// SpecChanged says whether other asks for something else than j does. Both are admitted.
// What the server keeps about a job, such as indexes, status, version and time, does not
// count: a job that is submitted again unchanged keeps its version.
func (j *Job) SpecChanged(other *Job) bool {
	if j == nil || other == nil {
		return j != other
	}
	return !reflect.DeepEqual(j.spec(), other.spec())
}

// spec returns a shallow copy without what the server keeps about the job.
func (j *Job) spec() *Job {
	s := *j
	s.NomadTokenID, s.Status, s.StatusDescription = nil, nil, nil
	s.Stable, s.Version, s.SubmitTime, s.VersionTag = nil, nil, nil, nil
	s.CreateIndex, s.ModifyIndex, s.JobModifyIndex = nil, nil, nil
	s.DispatchIdempotencyToken = nil
	return &s
}

func deepCopy[T any](v T) T {
	in := reflect.ValueOf(&v).Elem()
	out := reflect.New(in.Type()).Elem()
	copyValue(out, in)
	return out.Interface().(T)
}

func copyValue(dst, src reflect.Value) {
	switch src.Kind() {
	case reflect.Pointer:
		if !src.IsNil() {
			dst.Set(reflect.New(src.Type().Elem()))
			copyValue(dst.Elem(), src.Elem())
		}
	case reflect.Interface:
		if !src.IsNil() {
			v := reflect.New(src.Elem().Type()).Elem()
			copyValue(v, src.Elem())
			dst.Set(v)
		}
	case reflect.Slice:
		if !src.IsNil() {
			dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
			for i := range src.Len() {
				copyValue(dst.Index(i), src.Index(i))
			}
		}
	case reflect.Map:
		if !src.IsNil() {
			dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
			for it := src.MapRange(); it.Next(); {
				v := reflect.New(src.Type().Elem()).Elem()
				copyValue(v, it.Value())
				dst.SetMapIndex(it.Key(), v)
			}
		}
	case reflect.Struct:
		for i := range src.NumField() {
			copyValue(dst.Field(i), src.Field(i))
		}
	default:
		dst.Set(src)
	}
}
