package nomadish

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// Who keeps a detached allocation keeps nothing of what the allocation was read from.
func TestDetachedStandsAlone(t *testing.T) {
	message := strings.Repeat("x", 1<<10)
	a := &Allocation{ID: message[:36], Namespace: message[40:50], TaskStates: map[string]*TaskState{message[60:70]: {State: message[80:90]}}}
	got, err := a.Detached()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, a) {
		t.Errorf("got %+v, want %+v", got, a)
	}
	begin := uintptr(unsafe.Pointer(unsafe.StringData(message)))
	for _, s := range []string{got.ID, got.Namespace, got.TaskStates[a.Namespace].State} {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); at >= begin && at < begin+uintptr(len(message)) {
			t.Errorf("%q is part of the message", s)
		}
	}
	job := NewJob(message[:10], JobTypeService, &Task{Name: message[:5], Driver: "mock"})
	own, err := job.Detached()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(own, job) || unsafe.StringData(*own.ID) == unsafe.StringData(*job.ID) {
		t.Errorf("got %+v, want an equal job of its own", own)
	}
}
