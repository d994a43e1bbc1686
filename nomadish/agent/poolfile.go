package agent

import (
	"cmp"
	"encoding/base64"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// maxExpect bounds bootstrap_expect.
const maxExpect = 255

// pool says how the server finds others.
func (f *File) pool(r *reading) *PoolConfig {
	s, port := f.Server, DefaultSerfPort
	if f.Ports != nil {
		port = cmp.Or(nomadish.Val(f.Ports.Serf), port)
	}
	bind := cmp.Or(r.address("bind_addr", f.BindAddr), "0.0.0.0")
	if f.Addresses != nil {
		bind = cmp.Or(r.address("addresses.serf", f.Addresses.Serf), bind)
	}
	c := &PoolConfig{
		Bind: net.JoinHostPort(bind, strconv.Itoa(port)), Expect: nomadish.Val(s.BootstrapExpect),
		Nonvoter: nomadish.Val(s.NonVotingServer), RejoinAfterLeave: nomadish.Val(s.RejoinAfterLeave),
		Leave: leaveOn(nomadish.Val(f.LeaveOnInterrupt), nomadish.Val(f.LeaveOnTerminate)),
	}
	if c.Expect < 0 || c.Expect > maxExpect {
		r.fail("server.bootstrap_expect: want 0 to %d, got %d", maxExpect, c.Expect)
	}
	if c.Nonvoter && c.Expect > 0 {
		r.fail("server.non_voting_server: such a server begins no cluster: bootstrap_expect must not be set")
	}
	if f.Advertise != nil {
		c.Advertise = r.address("advertise.serf", f.Advertise.Serf)
	}
	if s.Encrypt != nil {
		key, err := base64.StdEncoding.DecodeString(*s.Encrypt)
		if n := len(key); err != nil || n != 16 && n != 24 && n != 32 {
			r.fail("server.encrypt: want 16, 24 or 32 bytes in base64, as \"operator gossip keyring generate\" makes them")
		}
		c.Keys = [][]byte{key}
	}
	f.join(r, c)
	return c
}

// leaveOn says good-bye on those signals. A context of package signal names the one that ended it.
func leaveOn(interrupt, terminate bool) func(cause error) bool {
	const received = " signal received"
	return func(cause error) bool {
		switch cause.Error() {
		case os.Interrupt.String() + received:
			return interrupt
		case syscall.SIGTERM.String() + received:
			return terminate
		}
		return false
	}
}

// join says which servers are joined.
func (f *File) join(r *reading, c *PoolConfig) {
	s := f.Server
	c.StartJoin, c.RetryJoin = s.StartJoin, s.RetryJoin
	c.RetryMax, c.RetryInterval = nomadish.Val(s.RetryMax), r.duration("server.retry_interval", s.RetryInterval)
	if j := s.ServerJoin; j != nil {
		if len(s.StartJoin)+len(s.RetryJoin) > 0 {
			r.fail("server.server_join: retry_join and start_join are to be in that block, or outside of it, and not both")
		}
		c.StartJoin, c.RetryJoin = j.StartJoin, j.RetryJoin
		c.RetryMax, c.RetryInterval = nomadish.Val(j.RetryMax), r.duration("server.server_join.retry_interval", j.RetryInterval)
	}
	if c.RetryMax < 0 {
		r.fail("server.retry_max: must not be negative")
	}
	c.RetryInterval = cmp.Or(c.RetryInterval, 30*time.Second)
}
