//go:build linux

package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// delayLine holds what its machine hears of some others for a while before it lets it in. The kernel keeps the
// packets in a queue, and is told of each when its time has come.
type delayLine struct {
	conn       *netlink.Conn
	by, jitter time.Duration
	closed     atomic.Bool
	ended      sync.WaitGroup
}

// The queue of a machine's namespace, and what is said about it: see nfnetlink_queue.h of Linux.
const (
	delayQueue = 0
	queueSize  = 1 << 14 // packets; more are lost

	messagePacket  = unix.NFNL_SUBSYS_QUEUE << 8
	messageVerdict = unix.NFNL_SUBSYS_QUEUE<<8 | 1
	messageConfig  = unix.NFNL_SUBSYS_QUEUE<<8 | 2

	configCommand, configParams, configSize = 1, 2, 3
	packetHeader, verdictHeader             = 1, 2
	commandBind, copyNothing, accept        = 1, 1, 1
)

// newDelayLine opens the queue of a namespace.
func newDelayLine(ns namespace, by, jitter time.Duration) (*delayLine, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(ns.handle)})
	if err != nil {
		return nil, fmt.Errorf("queue of packets: %w", err)
	}
	d := &delayLine{conn: conn, by: by, jitter: jitter}
	for _, attribute := range []netlink.Attribute{
		{Type: configCommand, Data: []byte{commandBind, 0, 0, unix.AF_INET}},
		{Type: configParams, Data: []byte{0, 0, 0, 0, copyNothing}},
		{Type: configSize, Data: binary.BigEndian.AppendUint32(nil, queueSize)},
	} {
		message, err := queueMessage(messageConfig, attribute)
		if err == nil {
			message.Header.Flags |= netlink.Acknowledge
			_, err = conn.Execute(message)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("queue of packets: %w", err), conn.Close())
		}
	}
	d.ended.Go(d.run)
	return d, nil
}

// queueMessage makes a message about the queue.
func queueMessage(kind netlink.HeaderType, attribute netlink.Attribute) (netlink.Message, error) {
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{attribute})
	return netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, delayQueue}, attributes...),
	}, err
}

// run lets packets in, each when it is due, until the queue is closed.
func (d *delayLine) run() {
	for {
		messages, err := d.conn.Receive()
		if err != nil && d.closed.Load() {
			return
		}
		// Other errors are of packets that are lost, as they may be, or that were let in too late.
		for _, m := range messages {
			if id := packet(m); id != nil {
				time.AfterFunc(d.by+rand.N(d.jitter+1), func() { d.admit(id) })
			}
		}
	}
}

// packet returns the number of the packet that a message is about.
func packet(m netlink.Message) []byte {
	const family, number = 4, 4
	if m.Header.Type != messagePacket || len(m.Data) < family {
		return nil
	}
	attributes, err := netlink.UnmarshalAttributes(m.Data[family:])
	if err != nil {
		return nil
	}
	for _, a := range attributes {
		if a.Type == packetHeader && len(a.Data) >= number {
			return a.Data[:number]
		}
	}
	return nil
}

// admit lets one packet in.
func (d *delayLine) admit(id []byte) {
	verdict := append(binary.BigEndian.AppendUint32(nil, accept), id...)
	message, err := queueMessage(messageVerdict, netlink.Attribute{Type: verdictHeader, Data: verdict})
	if err == nil {
		_, _ = d.conn.Send(message) // once the queue is closed, what it held is lost
	}
}

func (d *delayLine) close() error {
	d.closed.Store(true)
	err := d.conn.Close()
	d.ended.Wait()
	return err
}
