package fsm

import (
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

const (
	// MaxEntry is how long a log entry may be.
	MaxEntry = 1 << 20

	maxBody  = 16 << 20 // of a command, unpacked
	packFrom = 4 << 10  // shorter bodies are not compressed
)

// Entry is what the raft log holds.
type Entry struct {
	Kind      Kind
	Level     uint32 // cluster level that the command needs
	RequestID string // empty: the command may be applied again
	Time      int64  // nanoseconds since 1970, chosen by the proposer
	Body      []byte // the command; only one of Body and Packed is there
	Packed    []byte // the command, compressed with S2
}

// Encode makes a log entry. A requestID makes repeating the entry harmless, for
// state.RequestWindow. A command that is too large is refused.
func Encode(c Command, requestID string, at time.Time) ([]byte, error) {
	e := Entry{Kind: c.Kind(), Level: c.Kind().Level(), RequestID: requestID, Time: at.UnixNano()}
	body := codec.Marshal(c)
	switch {
	case len(body) > maxBody:
		return nil, nomadish.Errorf(nomadish.KindTooLarge, "command %s has %d bytes, at most %d are allowed", c.Kind(), len(body), maxBody)
	case len(body) < packFrom:
		e.Body = body
	default:
		e.Packed = s2.EncodeBetter(nil, body)
	}
	b := codec.Marshal(&e)
	if len(b) > MaxEntry {
		return nil, nomadish.Errorf(nomadish.KindTooLarge, "command %s has %d bytes when compressed, at most %d are allowed", c.Kind(), len(b), MaxEntry)
	}
	return b, nil
}

// Decode reads a log entry, which nobody changes any more: its body is a part of it. An error says
// that this program can't read it, which is no reason to pass over it.
func Decode(b []byte) (Entry, Command, error) {
	var e Entry
	if err := codec.UnmarshalShared(b, &e); err != nil {
		return Entry{}, nil, fmt.Errorf("log entry: %w", err)
	}
	info, ok := e.Kind.info()
	switch {
	case e.Level > MaxLevel:
		return Entry{}, nil, fmt.Errorf("log entry of kind %d is of level %d, this program knows up to %d; it needs a newer one", e.Kind, e.Level, MaxLevel)
	case !ok:
		return Entry{}, nil, fmt.Errorf("log entry of kind %d is unknown; it needs a newer program", e.Kind)
	}
	body := e.Body
	if e.Packed != nil {
		n, err := s2.DecodedLen(e.Packed)
		if err == nil && n > maxBody {
			err = fmt.Errorf("unpacks to %d bytes, at most %d are allowed", n, maxBody)
		}
		if err == nil {
			body, err = s2.Decode(nil, e.Packed)
		}
		if err != nil {
			return Entry{}, nil, fmt.Errorf("log entry with command %s: %w", e.Kind, err)
		}
	}
	c := info.make()
	if err := codec.UnmarshalTrusted(body, c); err != nil {
		return Entry{}, nil, fmt.Errorf("log entry with command %s: %w", e.Kind, err)
	}
	return e, c, nil
}

// outcome is how the result of a request is kept.
type outcome struct {
	Kind      Kind
	Failed    bool
	ErrorKind nomadish.Kind
	Error     string
	Value     []byte // nil: no value
}

func encodeResult(k Kind, r Result) ([]byte, error) {
	o := outcome{Kind: k}
	if r.Err != nil {
		o.Failed, o.ErrorKind, o.Error = true, nomadish.KindOf(r.Err), r.Err.Error()
	}
	if r.Value != nil {
		v, ok := r.Value.(codec.Appender)
		if !ok || kinds[k].result == nil {
			return nil, fmt.Errorf("command %s has a result of type %T, which can't be kept", k, r.Value)
		}
		o.Value = append([]byte{}, codec.Marshal(v)...)
	}
	return codec.Marshal(&o), nil
}

// decodeResult returns what a request was answered, if it was one for a command of the same kind.
func decodeResult(k Kind, index uint64, b []byte) (Result, error) {
	var o outcome
	if err := codec.UnmarshalTrusted(b, &o); err != nil {
		return Result{}, fmt.Errorf("kept result: %w", err)
	}
	r := Result{Index: index}
	if o.Kind != k {
		r.Err = nomadish.Errorf(nomadish.KindConflict, "the request ID is that of another request, which was a %s and not a %s", o.Kind, k)
		return r, nil
	}
	if o.Failed {
		r.Err = nomadish.Errorf(o.ErrorKind, "%s", o.Error)
	}
	if o.Value != nil {
		v := kinds[o.Kind].result()
		if err := codec.UnmarshalTrusted(o.Value, v); err != nil {
			return Result{}, fmt.Errorf("kept result of %s: %w", o.Kind, err)
		}
		r.Value = v
	}
	return r, nil
}
