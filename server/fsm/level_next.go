//go:build nextlevel

package fsm

import (
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/server/state"
)

// MaxLevel is one more than that of a released program: a build with this tag stands for the next
// release, in tests of the step from one to the other.
const MaxLevel uint32 = 2

// KindMark is the kind of Mark.
const KindMark Kind = 9999

// nextKinds are the commands that the next level has more.
var nextKinds = map[Kind]kindInfo{
	KindMark: {"Mark", 2, func() command { return new(Mark) }, nil},
}

// Mark changes nothing. A program of the level before stops at it.
type Mark struct{}

// Kind implements Command.
func (*Mark) Kind() Kind { return KindMark }

// Apply implements Command.
func (*Mark) Apply(*state.Writer) (any, error) { return nil, nil }

// AppendCodec implements codec.Appender.
func (*Mark) AppendCodec(b []byte) []byte { return b }

// DecodeCodec implements codec.Decoder.
func (*Mark) DecodeCodec(r *codec.Reader) error {
	for r.More() {
		r.Skip(r.Uint())
	}
	return r.Err()
}
