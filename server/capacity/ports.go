package capacity

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// The range of dynamic ports of a node that sets none.
const (
	DefaultMinDynamicPort = 20000
	DefaultMaxDynamicPort = 32000
)

// coolingTime is how long a released dynamic port is passed over, so that peers which still
// know the old allocation's address do not reach the new one.
const coolingTime = 60 * time.Second

// maxCooling bounds how many released ports a node remembers.
const maxCooling = 256

const (
	maxPort  = 65535
	pageBits = 1024
)

type portPage [pageBits / 64]uint64

// portSet is a set of ports. Pages are shared between copies and never written to.
type portSet struct {
	pages [(maxPort + 1) / pageBits]*portPage
}

func (s *portSet) has(port int) bool {
	page := s.pages[port/pageBits]
	return page != nil && page[port%pageBits/64]&(1<<(port%64)) != 0
}

// put adds or removes a port.
func (s *portSet) put(port int, in bool) {
	var next portPage
	if page := s.pages[port/pageBits]; page != nil {
		next = *page
	}
	if in {
		next[port%pageBits/64] |= 1 << (port % 64)
	} else {
		next[port%pageBits/64] &^= 1 << (port % 64)
	}
	s.pages[port/pageBits] = &next
}

// word returns 64 ports from the one of a multiple of 64.
func (s *portSet) word(port int) uint64 {
	if page := s.pages[port/pageBits]; page != nil {
		return page[port%pageBits/64]
	}
	return 0
}

// coolingPort is a port that was released a short while ago.
type coolingPort struct {
	space int
	port  int
	until int64
}

// cool remembers a released port and forgets those that have cooled.
func (t *taken) cool(p coolingPort, now int64) {
	kept := t.cooling[:0]
	for _, c := range t.cooling {
		if c.until > now && (c.space != p.space || c.port != p.port) {
			kept = append(kept, c)
		}
	}
	if len(kept) >= maxCooling {
		kept = kept[1:]
	}
	t.cooling = append(kept, p)
}

func (t *taken) isCooling(space, port int, now int64) bool {
	if t == nil {
		return false
	}
	for _, c := range t.cooling {
		if c.port == port && c.space == space && c.until > now {
			return true
		}
	}
	return false
}

// usedPort says that a port of a space is reserved on the site or taken by an allocation.
func usedPort(site *Site, t *taken, space, port int) bool {
	return site.spaces[space].has(port) || t != nil && t.ports[space].has(port)
}

// enoughDynamic says that a space has at least n free dynamic ports.
func enoughDynamic(site *Site, t *taken, space, n int) bool {
	free := 0
	for base := site.minPort &^ 63; base <= site.maxPort; base += 64 {
		used := site.spaces[space].word(base)
		if t != nil {
			used |= t.ports[space].word(base)
		}
		avail := ^used
		if base < site.minPort {
			avail &^= 1<<(site.minPort-base) - 1
		}
		if last := site.maxPort - base; last < 63 {
			avail &= 1<<(last+1) - 1
		}
		if free += bits.OnesCount64(avail); free >= n {
			return true
		}
	}
	return false
}

// chooseDynamic picks a free dynamic port, the first from a place that the seed decides. It
// takes a cooling port only when there is no other. skip says which ports the same demand
// uses already.
func chooseDynamic(site *Site, t *taken, space int, seed uint64, now int64, skip func(int) bool) (int, bool) {
	span := site.maxPort - site.minPort + 1
	start := int(seed % uint64(span))
	cooling := 0
	for i := range span {
		port := site.minPort + (start+i)%span
		if usedPort(site, t, space, port) || skip(port) {
			continue
		}
		if !t.isCooling(space, port, now) {
			return port, true
		}
		if cooling == 0 {
			cooling = port
		}
	}
	return cooling, cooling != 0
}

// parsePorts reads a list of ports such as "22,80,8000-8100" into a set. What is not a port
// or a range of ports is left out: the agent has told its operator.
func parsePorts(list string, into *portSet) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(strings.TrimSpace(from))
		if err != nil {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(strings.TrimSpace(to)); err != nil {
				continue
			}
		}
		for port := max(first, 0); port <= min(last, maxPort); port++ {
			into.put(port, true)
		}
	}
}

// PortDemand is a port that a group asks for, or that an allocation was granted.
type PortDemand struct {
	Label   string
	Task    string // that asks for it in its resources block; empty: the group
	Value   int    // 0: any dynamic port
	To      int    // the port inside the group's network; 0: none; -1: the same as Value
	Network string // host network; empty: "default"
	HostIP  string // of a granted port: its address
	Shared  bool   // a static port that other allocations may use as well
}

// mapping returns the port as tasks and users see it.
func (p *PortDemand) mapping() nomadish.PortMapping {
	to := p.To
	if to < 0 {
		to = p.Value
	}
	return nomadish.PortMapping{Label: p.Label, Value: p.Value, To: to, HostIP: p.HostIP, IgnoreCollision: p.Shared}
}
