package nomadish

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Bounds of variables and their locks.
const (
	MaxVariablePath = 128      // bytes of a path
	MaxVariableSize = 64 << 10 // bytes of all keys and values of a variable together

	DefaultLockTime = 15 * time.Second // both of a lock's times where it doesn't say
	MinLockTime     = 10 * time.Second
	MaxLockTime     = 24 * time.Hour
)

// VariableMetadata is what may be seen of a variable without its items: what lists show.
type VariableMetadata struct {
	Namespace   string
	Path        string
	CreateIndex uint64
	ModifyIndex uint64
	CreateTime  int64         // nanoseconds since 1970
	ModifyTime  int64         // nanoseconds since 1970
	Lock        *VariableLock `json:",omitempty"` // nil: nobody holds it
}

// VariableName is where a variable is.
type VariableName struct{ Namespace, Path string }

// Name returns where the variable is.
func (m *VariableMetadata) Name() VariableName { return VariableName{m.Namespace, m.Path} }

// Variable keeps items, such as passwords, under a path of a namespace.
type Variable struct {
	VariableMetadata
	Items VariableItems
}

// VariableItems are the content of a variable. They are printed as their number: what is in
// them is meant for nobody's log.
type VariableItems map[string]string

// Format implements fmt.Formatter.
func (v VariableItems) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.redacted()) }

// LogValue implements slog.LogValuer.
func (v VariableItems) LogValue() slog.Value { return slog.StringValue(v.redacted()) }

func (v VariableItems) redacted() string { return fmt.Sprintf("[%d items]", len(v)) }

// VariableLock makes one client the only one that may change a variable, until it releases
// the lock or has not renewed it for the lock's time to live.
type VariableLock struct {
	// ID is known to the holder, and proves that it is that. The server chooses it.
	ID string `json:",omitempty"`
	// TTL is how long the lock is held without being renewed, such as "15s".
	TTL string
	// LockDelay is how long nobody can have the lock after it was lost by not being renewed.
	LockDelay string
	// Fence is greater than that of every lock that was acquired before, whatever the variable.
	// What the holder writes to can keep away those that only believe to hold the lock.
	Fence uint64 `json:",omitempty"`
}

// SealedVariable is a variable as the state has it.
type SealedVariable struct {
	VariableMetadata
	Items *Sealed // nil: there are none
	// Base is the variable's ModifyIndex before its present items were written, 0 if it was
	// new. The items are bound to it: an older content can't take their place.
	Base uint64
	// Lost is a lock that ended because nobody renewed it, until its delay is over.
	Lost *VariableLock
}

// VariableContent is what is sealed of a variable.
type VariableContent struct{ Items VariableItems }

// Bound is what the sealed items of a variable are bound to, so that they can't be read
// as those of another.
func (v *SealedVariable) Bound() []byte {
	b := make([]byte, 0, len("variable")+len(v.Namespace)+len(v.Path)+11)
	b = append(append(b, "variable"...), 0)
	b = append(append(b, v.Namespace...), 0)
	b = append(append(b, v.Path...), 0)
	return binary.BigEndian.AppendUint64(b, v.Base)
}

// VariableConflict is the error of a write that came too late: the variable is not what the
// writer thought, or is locked by somebody else.
type VariableConflict struct {
	Reason  string
	Current *Variable // as it is, with items if the writer may read them; only its name if there is none
}

func (e *VariableConflict) Error() string {
	return fmt.Sprintf("variable %q: %s", e.Current.Path, e.Reason)
}

// Unwrap says that it is a conflict.
func (e *VariableConflict) Unwrap() error { return &Error{Kind: KindConflict, Message: e.Error()} }

// Holds says whether id is that of the variable's lock.
func (m *VariableMetadata) Holds(id string) bool { return m.Lock != nil && id != "" && m.Lock.ID == id }

// Size is what counts against MaxVariableSize.
func (v VariableItems) Size() int {
	n := 0
	for key, value := range v {
		n += len(key) + len(value)
	}
	return n
}

// Validate checks what somebody wants to store as a variable. It may be without items: a
// variable that only serves as a lock has none.
func (v *Variable) Validate() error {
	if err := CheckVariablePath(v.Path); err != nil {
		return err
	}
	if v.Namespace == "" || v.Namespace == "*" {
		return Errorf(KindInvalid, "variable needs a namespace: %q is none", v.Namespace)
	}
	if n := v.Items.Size(); n > MaxVariableSize {
		return Errorf(KindInvalid, "variable's items take %d bytes, more than the limit of %d", n, MaxVariableSize)
	}
	return nil
}

// CheckVariablePath says what is wrong with the path of a variable.
func CheckVariablePath(path string) error {
	switch {
	case path == "":
		return Errorf(KindInvalid, "variable missing required Path")
	case len(path) > MaxVariablePath:
		return Errorf(KindInvalid, "invalid path: it has %d bytes, more than the limit of %d", len(path), MaxVariablePath)
	case strings.IndexFunc(path, notInVariablePath) >= 0:
		return Errorf(KindInvalid, "invalid path %q: only letters, digits and the characters -_~/ can be in it", path)
	case path[0] == '/' || path[len(path)-1] == '/':
		return Errorf(KindInvalid, "invalid path %q: it can't begin or end with a slash", path)
	}
	return checkReservedPath(path)
}

// checkReservedPath keeps what is below nomad/ to what Nomad gives a meaning.
func checkReservedPath(path string) error {
	for _, free := range []string{"nomad/jobs", "nomad/job-templates"} {
		if path == free || strings.HasPrefix(path, free+"/") {
			return nil
		}
	}
	if path == "nomad" || strings.HasPrefix(path, "nomad/") {
		return Errorf(KindInvalid, "path %q is reserved: of what is below nomad/ only nomad/jobs and nomad/job-templates can be written", path)
	}
	return nil
}

const variablePathCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~/"

func notInVariablePath(r rune) bool { return !strings.ContainsRune(variablePathCharacters, r) }

// Admit fills in what a lock that is asked for leaves out, and checks it.
func (l *VariableLock) Admit() error {
	for _, f := range []struct {
		name  string
		value *string
	}{{"TTL", &l.TTL}, {"LockDelay", &l.LockDelay}} {
		d, err := time.ParseDuration(cmp.Or(*f.value, DefaultLockTime.String()))
		if err != nil {
			return Errorf(KindInvalid, "Lock.%s: %q is no duration, such as 15s", f.name, *f.value)
		}
		if d < MinLockTime || d > MaxLockTime {
			return Errorf(KindInvalid, "Lock.%s: %s is not between %s and %s", f.name, d, MinLockTime, MaxLockTime)
		}
		*f.value = d.String()
	}
	return nil
}

// Times returns the times of an admitted lock.
func (l *VariableLock) Times() (ttl, delay time.Duration) {
	return lockTime(l.TTL), lockTime(l.LockDelay)
}

// lockTime reads a time that was checked before it was stored.
func lockTime(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return DefaultLockTime
	}
	return d
}
