package transport

import (
	"encoding/binary"
	"net"
	"sync"
)

// frames is a connection that a session of yamux writes to. Yamux writes a frame's header and
// then its content; here both go out together, which spares a system call, a packet and with
// encryption a record. One goroutine writes.
type frames struct {
	net.Conn
	header [frameHeader]byte
	held   bool // header is there, and what it announces is not
}

// The form of yamux's frames, as far as it matters here.
const (
	frameHeader = 12
	frameType   = 1 // offset of the type
	frameLength = 8 // offset of the content's length
	frameData   = 0 // the type that has content
)

// maxJoined is how much content is copied behind its header; more goes out as it is.
const maxJoined = 4<<10 - frameHeader

// joints are buffers for a header and its content.
var joints = sync.Pool{New: func() any { return new([frameHeader + maxJoined]byte) }}

// Write sends p, or keeps it until what belongs to it comes.
func (f *frames) Write(p []byte) (int, error) {
	if !f.held {
		if len(p) == frameHeader && p[frameType] == frameData && binary.BigEndian.Uint32(p[frameLength:]) > 0 {
			f.held = true
			return copy(f.header[:], p), nil
		}
		return f.Conn.Write(p)
	}
	f.held = false
	if len(p) > maxJoined {
		if _, err := f.Conn.Write(f.header[:]); err != nil {
			return 0, err
		}
		return f.Conn.Write(p)
	}
	joint := joints.Get().(*[frameHeader + maxJoined]byte)
	defer joints.Put(joint)
	copy(joint[:], f.header[:])
	copy(joint[frameHeader:], p)
	n, err := f.Conn.Write(joint[:frameHeader+len(p)])
	return max(n-frameHeader, 0), err
}
