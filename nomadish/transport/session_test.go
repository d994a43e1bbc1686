package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// sessionMakers are the kinds of sessions; all keep the same contract.
var sessionMakers = map[string]func(t *testing.T) (Session, Session){
	"memory": func(t *testing.T) (Session, Session) {
		a, b := Pipe()
		t.Cleanup(func() { _ = a.Close() })
		return a, b
	},
	"yamux": func(t *testing.T) (Session, Session) {
		near, far := tcpPair(t)
		a, err := newMuxed(near, true)
		if err != nil {
			t.Fatal(err)
		}
		b, err := newMuxed(far, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
		return a, b
	},
}

func tcpPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// open returns the two ends of a new stream.
func open(t *testing.T, from, to Session) (net.Conn, net.Conn) {
	t.Helper()
	near, err := from.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	far, err := to.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestSession(t *testing.T) {
	for name, makeSession := range sessionMakers {
		t.Run(name, func(t *testing.T) {
			for rule, check := range map[string]func(t *testing.T, a, b Session){
				"either side opens streams":                    checkBothOpen,
				"a stream carries a MiB each way at once":      checkDuplex,
				"closing a stream ends the reads of both ends": checkStreamClose,
				"a deadline ends a read":                       checkDeadline,
				"closing the session ends accepts and streams": checkSessionClose,
				"a session can be closed twice":                checkCloseTwice,
				"open ends with its context":                   checkOpenContext,
				"streams do not wait for each other":           checkIndependent,
			} {
				t.Run(rule, func(t *testing.T) {
					a, b := makeSession(t)
					check(t, a, b)
				})
			}
		})
	}
}

func checkBothOpen(t *testing.T, a, b Session) {
	for _, pair := range [][2]Session{{a, b}, {b, a}} {
		near, far := open(t, pair[0], pair[1])
		go func() {
			_, _ = near.Write([]byte("hello"))
			near.Close()
		}()
		got, err := io.ReadAll(far)
		if string(got) != "hello" || err != nil {
			t.Errorf("got %q, %v; want hello", got, err)
		}
		far.Close()
	}
}

func checkDuplex(t *testing.T, a, b Session) {
	near, far := open(t, a, b)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	done := make(chan error, 3)
	go func() { // echo
		_, err := io.CopyN(far, far, int64(len(sent)))
		done <- err
	}()
	go func() {
		_, err := near.Write(sent)
		done <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(near, got); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(got, sent) {
		t.Error("what came back is not what was sent")
	}
}

func checkStreamClose(t *testing.T, a, b Session) {
	near, far := open(t, a, b)
	reads := make(chan error, 2)
	for _, c := range []net.Conn{near, far} {
		go func() {
			_, err := c.Read(make([]byte, 1))
			reads <- err
		}()
	}
	near.Close()
	for range 2 {
		if err := <-reads; err == nil {
			t.Error("a read of a closed stream gave data")
		}
	}
}

func checkDeadline(t *testing.T, a, b Session) {
	near, _ := open(t, a, b)
	_ = near.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := near.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}

func checkSessionClose(t *testing.T, a, b Session) {
	near, far := open(t, a, b)
	ended := make(chan error, 4)
	for _, s := range []Session{a, b} {
		go func() {
			_, err := s.Accept()
			ended <- err
		}()
	}
	for _, c := range []net.Conn{near, far} {
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
	}
	_ = a.Close()
	for range 4 {
		if err := <-ended; err == nil {
			t.Error("no error after the end of the session")
		}
	}
	<-a.Done()
	<-b.Done()
	if _, err := a.Open(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("open: got %v, want net.ErrClosed", err)
	}
	if _, err := b.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: got %v, want net.ErrClosed", err)
	}
}

func checkCloseTwice(t *testing.T, a, _ Session) {
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
}

func checkOpenContext(t *testing.T, a, _ Session) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range streamBacklog + 1 { // more than wait to be accepted
		c, err := a.Open(ctx)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want context.Canceled", err)
			}
			return
		}
		c.Close()
	}
	t.Fatal("a context that has ended stopped nothing")
}

func checkIndependent(t *testing.T, a, b Session) {
	full, _ := open(t, a, b) // nobody reads the other end
	go func() { _, _ = full.Write(make([]byte, 1<<20)) }()
	near, far := open(t, a, b)
	go func() { _, _ = near.Write([]byte("x")) }()
	if _, err := far.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// slowEnd is a connection whose reader sees its end only when it is let.
type slowEnd struct {
	net.Conn
	closed, seen chan struct{}
}

func (c *slowEnd) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		<-c.seen
	}
	return n, err
}

func (c *slowEnd) Close() error {
	err := c.Conn.Close()
	if err == nil {
		close(c.closed)
	}
	return err
}

// A session is over only when its connection's reader has seen the end: until then who reads from a stream
// waits, and does not turn in a loop that keeps thousands of other sessions from ending.
func TestSessionEndsBehindItsConnection(t *testing.T) {
	near, far := net.Pipe()
	c := &slowEnd{Conn: &onceClosed{Conn: near}, closed: make(chan struct{}), seen: make(chan struct{})}
	peer, err := newMuxed(far, true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newMuxed(c, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	read, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := stream.Read(make([]byte, 1))
		read <- err
	}()
	go func() { ended <- s.Close() }()
	<-c.closed
	select {
	case <-s.Done():
		t.Error("the session is over, and its connection's reader does not know")
	default:
	}
	close(c.seen)
	if err := errors.Join(<-ended, s.Close(), peer.Close()); err != nil {
		t.Error(err)
	}
	if err := <-read; err == nil {
		t.Error("something was read of a session that is over")
	}
}

// onceClosed says so when it is closed again, as sockets do.
type onceClosed struct {
	net.Conn
	closed atomic.Bool
}

func (c *onceClosed) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	return c.Conn.Close()
}
