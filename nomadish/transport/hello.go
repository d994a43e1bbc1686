package transport

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// The first byte on a connection between agents says what it is for, unless the connection is
// encrypted.
const (
	protocolAPI  = 'A' // a session; a Hello follows
	protocolRaft = 'R' // raft's own; the connection is handed over as it is
	protocolJoin = 'J' // HTTP of somebody who joins, on encrypted connections alone
)

// Hello is how the two ends of a session introduce themselves.
type Hello struct {
	Kind   string // node or server
	ID     string
	Region string
	Secret string // a node's; proves its ID
	Build  string // version of the program
}

// answer is what comes back to a Hello.
type answer struct {
	Hello Hello
	Error string // why there will be no session; empty: there is
}

const helloMax = 4 << 10

func writeHello(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > helloMax {
		return fmt.Errorf("hello of %d bytes, at most %d are allowed", len(body), helloMax)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...))
	return err
}

func readHello(r io.Reader, v any) error {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > helloMax {
		return fmt.Errorf("hello of %d bytes, at most %d are allowed", n, helloMax)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

// greet introduces self on a connection that this side dialled; check says whether who
// answers is believed.
func greet(c net.Conn, self Hello, timeout time.Duration, check func(Hello) error) (Session, Hello, error) {
	fail := func(err error) (Session, Hello, error) {
		_ = c.Close()
		return nil, Hello{}, fmt.Errorf("session with %s: %w", c.RemoteAddr(), err)
	}
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fail(err)
	}
	if err := writeHello(c, self); err != nil {
		return fail(err)
	}
	var a answer
	if err := readHello(c, &a); err != nil {
		return fail(err)
	}
	if a.Error != "" {
		return fail(nomadish.Errorf(nomadish.KindDenied, "refused: %s", a.Error))
	}
	if err := check(a.Hello); err != nil {
		return fail(err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return fail(err)
	}
	s, err := newMuxed(c, true)
	if err != nil {
		return fail(err)
	}
	return s, a.Hello, nil
}

// welcome answers the Hello of a connection that this side accepted; admit says whether
// there will be a session.
func welcome(c net.Conn, self Hello, admit func(Hello) error) (Session, Hello, error) {
	var h Hello
	if err := readHello(c, &h); err != nil {
		return nil, h, fmt.Errorf("read hello: %w", err)
	}
	if err := admit(h); err != nil {
		// The peer learns why, if it still listens.
		_ = writeHello(c, answer{Error: err.Error()})
		return nil, h, fmt.Errorf("%s %s refused: %w", h.Kind, h.ID, err)
	}
	if err := writeHello(c, answer{Hello: self}); err != nil {
		return nil, h, fmt.Errorf("answer hello: %w", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, h, err
	}
	s, err := newMuxed(c, false)
	return s, h, err
}
