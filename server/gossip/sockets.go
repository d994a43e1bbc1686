package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Limits of what strangers may hold open.
const (
	maxStreams        = 256 // in all
	maxStreamsPerAddr = 32  // from one address
	maxPacket         = 64 << 10
	acceptAgain       = 20 * time.Millisecond // after an error
)

// sockets are the pool's UDP and TCP sockets, on one port. They are memberlist's transport.
type sockets struct {
	tcp       *net.TCPListener
	udp       net.PacketConn
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	advertise *net.TCPAddr
	logger    *slog.Logger

	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context // of all reading and dialling
	cancel  context.CancelFunc
	wg      sync.WaitGroup // what reads, and streams that are open

	mu     sync.Mutex
	open   map[*stream]struct{}
	byAddr map[string]int
}

// listen binds both sockets. Port 0 takes one that is free for both.
func listen(bind, advertise string, logger *slog.Logger) (*sockets, error) {
	addr, err := net.ResolveTCPAddr("tcp", bind)
	if err != nil {
		return nil, fmt.Errorf("gossip: listen on %q: %w", bind, err)
	}
	s := &sockets{
		logger: logger, dial: new(net.Dialer).DialContext, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
		open: map[*stream]struct{}{}, byAddr: map[string]int{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	tries := 1
	if addr.Port == 0 {
		tries = 16 // what is free for TCP may be taken for UDP
	}
	for range tries {
		if err = s.bind(addr); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	bound := s.tcp.Addr().(*net.TCPAddr)
	if s.advertise, err = advertised(advertise, bound); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sockets) bind(addr *net.TCPAddr) (err error) {
	if s.tcp, err = net.ListenTCP("tcp", addr); err != nil {
		return err
	}
	at := s.tcp.Addr().(*net.TCPAddr)
	if s.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: at.Port, Zone: addr.Zone}); err != nil {
		return errors.Join(err, s.tcp.Close())
	}
	return nil
}

// advertised is the address at which others reach what is bound.
func advertised(text string, bound *net.TCPAddr) (*net.TCPAddr, error) {
	at := &net.TCPAddr{IP: bound.IP, Port: bound.Port}
	if text != "" {
		if _, _, err := net.SplitHostPort(text); err != nil {
			text = net.JoinHostPort(strings.Trim(text, "[]"), "0")
		}
		given, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			return nil, fmt.Errorf("gossip: advertise %q: %w", text, err)
		}
		at.IP = given.IP
		if given.Port != 0 {
			at.Port = given.Port
		}
	}
	if at.IP == nil || at.IP.IsUnspecified() {
		at.IP = net.IPv4(127, 0, 0, 1)
	}
	if v4 := at.IP.To4(); v4 != nil {
		at.IP = v4
	}
	return at, nil
}

// close frees sockets that were never run.
func (s *sockets) close() error {
	s.cancel()
	return errors.Join(s.tcp.Close(), s.udp.Close())
}

// run starts reading. Shutdown ends it.
func (s *sockets) run() {
	s.wg.Go(s.accept)
	s.wg.Go(s.receive)
}

func (s *sockets) accept() {
	for {
		c, err := s.tcp.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.logger.Debug("gossip: accept", "err", err)
			select {
			case <-time.After(acceptAgain):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		st, err := s.add(c)
		if err != nil {
			_ = c.Close() // who is one too many is not told
			s.logger.Debug("gossip: a connection was refused", "addr", c.RemoteAddr().String(), "err", err)
			continue
		}
		select {
		case s.streams <- st:
		case <-s.ctx.Done():
			_ = st.Close() // nobody will read it
			return
		}
	}
}

func (s *sockets) receive() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil || n == 0:
			continue
		}
		select {
		case s.packets <- &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}:
		case <-s.ctx.Done():
			return
		}
	}
}

// stream is a connection that counts, and that Shutdown closes.
type stream struct {
	net.Conn
	set  *sockets
	addr string
	once sync.Once
}

// Close closes the connection.
func (c *stream) Close() error {
	c.once.Do(func() { c.set.remove(c) })
	return c.Conn.Close()
}

// add counts a connection from elsewhere.
func (s *sockets) add(c net.Conn) (*stream, error) {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil:
		return nil, net.ErrClosed
	case len(s.open) >= maxStreams:
		return nil, fmt.Errorf("too many connections: the limit is %d", maxStreams)
	case s.byAddr[host] >= maxStreamsPerAddr:
		return nil, fmt.Errorf("too many connections of one address: the limit is %d", maxStreamsPerAddr)
	}
	st := &stream{Conn: c, set: s, addr: host}
	s.open[st] = struct{}{}
	s.byAddr[host]++
	s.wg.Add(1)
	return st, nil
}

func (s *sockets) remove(c *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	if s.byAddr[c.addr]--; s.byAddr[c.addr] <= 0 {
		delete(s.byAddr, c.addr)
	}
	s.wg.Done()
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (s *sockets) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return s.advertise.IP, s.advertise.Port, nil
}

// WriteTo implements memberlist.Transport.
func (s *sockets) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = s.udp.WriteTo(b, to)
	return time.Now(), err
}

// PacketCh implements memberlist.Transport.
func (s *sockets) PacketCh() <-chan *memberlist.Packet { return s.packets }

// DialTimeout implements memberlist.Transport. What it dials ends with the sockets.
func (s *sockets) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	c, err := s.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(s.ctx, func() { _ = c.Close() }) // unblocks who waits on it
	return &dialledStream{Conn: c, stop: stop}, nil
}

type dialledStream struct {
	net.Conn
	stop func() bool
}

// Close closes the connection.
func (c *dialledStream) Close() error {
	c.stop()
	return c.Conn.Close()
}

// StreamCh implements memberlist.Transport.
func (s *sockets) StreamCh() <-chan net.Conn { return s.streams }

// Shutdown implements memberlist.Transport. It returns when nobody reads any more.
func (s *sockets) Shutdown() error {
	err := s.close()
	s.mu.Lock()
	open := make([]*stream, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Conn.Close() // its reader notices, and gives it back
	}
	s.wg.Wait()
	return err
}
