package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Network connects servers by their IDs; where a server is reachable is its business. A connection must
// support deadlines, and fail within seconds when the other side is gone. Methods may be called
// concurrently.
type Network interface {
	// Dial opens a connection to the server with that ID.
	Dial(ctx context.Context, id string) (net.Conn, error)
	// Accept returns the next connection that another server opened to this one.
	Accept(ctx context.Context) (net.Conn, error)
}

// streams is a Network as raft wants it. It knows all open connections, because raft's transport leaves
// those of its readers open when it closes.
//
// A connection begins with a greeting, of which raft's own messages say nothing: the ID of the server that
// it is for, that of the one that opens it, and the cluster to which that one belongs, each with a byte for
// its length before it. An address can become another server's: one that lost its data comes back under a
// new ID, and must not vote in the name of the old one, whose votes and entries it does not know. And a
// server of another cluster must not be obeyed, whatever its term: its entries would replace what this
// cluster has acknowledged.
type streams struct {
	network Network
	id      string
	cluster func() string        // that this server belongs to; empty: none yet
	peer    func(id string) bool // whether a server is one of its cluster
	ctx     context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex
	conns   map[*stream]struct{}
	readers sync.WaitGroup
}

func newStreams(network Network, id string, cluster func() string, peer func(id string) bool) *streams {
	ctx, cancel := context.WithCancel(context.Background())
	return &streams{network: network, id: id, cluster: cluster, peer: peer, ctx: ctx, cancel: cancel, conns: map[*stream]struct{}{}}
}

// Dial opens a connection; an address is a server's ID.
func (s *streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	conn, err := s.network.Dial(ctx, string(address))
	if err != nil {
		return nil, err
	}
	if err := greet(conn, timeout, string(address), s.id, s.cluster()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s.add(conn, func() {}), nil
}

// greet says for whom a connection is, and who opens it.
func greet(conn net.Conn, timeout time.Duration, words ...string) error {
	var greeting []byte
	for _, word := range words {
		if len(word) > math.MaxUint8 {
			return fmt.Errorf("ID of %d bytes, more than %d", len(word), math.MaxUint8)
		}
		greeting = append(append(greeting, byte(len(word))), word...)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := conn.Write(greeting); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

// Accept waits for a connection, whose reader raft starts.
func (s *streams) Accept() (net.Conn, error) {
	conn, err := s.network.Accept(s.ctx)
	if err != nil {
		return nil, err
	}
	s.readers.Add(1)
	c := s.add(conn, s.readers.Done)
	c.ungreeted = true
	return c, nil
}

func (s *streams) add(conn net.Conn, done func()) *stream {
	c := &stream{Conn: conn, set: s, done: done}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	return c
}

// Close ends Accept and all dialling.
func (s *streams) Close() error {
	s.cancel()
	return nil
}

// drain closes every connection and waits for raft's readers to notice.
func (s *streams) drain() {
	s.mu.Lock()
	open := s.conns
	s.conns = map[*stream]struct{}{}
	s.mu.Unlock()
	for c := range open {
		c.Conn.Close() // nobody is left to be told
	}
	s.readers.Wait()
}

// Addr returns the server's own ID as an address.
func (s *streams) Addr() net.Addr { return address(s.id) }

type address string

// Network implements net.Addr.
func (address) Network() string { return "raft" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// stream leaves the set of open connections when raft closes it.
type stream struct {
	net.Conn
	set       *streams
	once      sync.Once
	done      func()
	ungreeted bool // the other side has yet to say for whom it is; for the one reader
}

// greetTimeout is how long the other side may take to say for whom a connection is.
const greetTimeout = 5 * time.Second

// Read implements net.Conn.
func (c *stream) Read(p []byte) (int, error) {
	if c.ungreeted {
		if err := c.readGreeting(); err != nil {
			return 0, err
		}
		c.ungreeted = false
	}
	return c.Conn.Read(p)
}

func (c *stream) readGreeting() error {
	if err := c.SetReadDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	var words [3]string
	for i := range words {
		length := make([]byte, 1)
		if _, err := io.ReadFull(c.Conn, length); err != nil {
			return err
		}
		word := make([]byte, length[0])
		if _, err := io.ReadFull(c.Conn, word); err != nil {
			return err
		}
		words[i] = string(word)
	}
	if err := c.set.refuse(words[0], words[1], words[2]); err != nil {
		return err
	}
	return c.SetReadDeadline(time.Time{})
}

// refuse says why a connection is not taken. A server of this cluster may be behind, or ahead, of a change of
// what the cluster is called.
func (s *streams) refuse(to, from, cluster string) error {
	own := s.cluster()
	switch {
	case to != s.id:
		return fmt.Errorf("the connection is for server %q, this is %q", to, s.id)
	case own != "" && cluster != own && !s.peer(from):
		return fmt.Errorf("server %q is of cluster %q, this one of %q", from, cluster, own)
	}
	return nil
}

// Close implements net.Conn.
func (c *stream) Close() error {
	c.once.Do(func() {
		c.set.mu.Lock()
		delete(c.set.conns, c)
		c.set.mu.Unlock()
		c.done()
	})
	return c.Conn.Close()
}
