package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"testing"
)

// tally counts what is written to a connection.
type tally struct {
	net.Conn
	writes chan int
}

func (c *tally) Write(p []byte) (int, error) {
	c.writes <- len(p)
	return c.Conn.Write(p)
}

// A frame's header and its content go out in one write, and content of any size arrives whole.
func TestFramesGoOutInOneWrite(t *testing.T) {
	near, far := net.Pipe()
	counted := &tally{Conn: near, writes: make(chan int, 1024)}
	a, err := newMuxed(counted, true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newMuxed(far, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	for _, size := range []int{1, 100, maxJoined, maxJoined + 1, 200_000} {
		sent := bytes.Repeat([]byte("x"), size)
		got := make(chan []byte, 1)
		go func() {
			c, err := b.Accept()
			if err != nil {
				got <- nil
				return
			}
			all, _ := io.ReadAll(c)
			got <- all
		}()
		c, err := a.Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if all := <-got; !bytes.Equal(all, sent) {
			t.Fatalf("%d bytes arrived of %d", len(all), size)
		}
		var writes []int
		for len(counted.writes) > 0 {
			writes = append(writes, <-counted.writes)
		}
		if size <= maxJoined && !slices.Contains(writes, frameHeader+size) {
			t.Errorf("content of %d bytes went out in writes of %v, want its header with it", size, writes)
		}
	}
}
