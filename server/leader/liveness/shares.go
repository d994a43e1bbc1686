package liveness

import (
	"maps"
	"math"
	"slices"
	"time"
)

// shares is what a server knows of how many nodes have sessions with each server, and to whom it has
// sent nodes away. After a restart of servers one after the other the last has none; each of the others
// then sends nodes there, when they renew their leases, until it has no more than its share. None of them
// has to agree with anybody: what all send away together is what there is too much of, and it goes where
// there is too little.
type shares struct {
	sessions map[string]int // empty: nobody moves
	at       time.Time      // when the leader said so
	sent     []sending
	moved    uint64  // nodes that were sent away
	tokens   float64 // nodes that may be sent away now
	refilled time.Time
}

// sending is a node that was sent to another server a moment ago.
type sending struct {
	node, to string
	at       time.Time
}

// Times and bounds of evening out.
const (
	calmAfter  = 10 * time.Second // of a term, or of a server's first word, before nodes move
	calmShare  = 100              // more than one in so many silent nodes are trouble
	awayFor    = 2 * time.Minute  // a server that told nothing for so long is not waited for
	sentFor    = 15 * time.Second // from when a node is sent away until its session counts elsewhere
	moveShare  = 100              // one in so many nodes moves in a second at most
	spareShare = 20               // one session in so many more than its share is no reason to move
)

// Elsewhere returns the address of another server to which a node that renews its lease is to move its
// session; empty: it stays.
func (l *Leases) Elsewhere(nodeID string) string {
	l.mu.Lock()
	to := ""
	if l.pending.held[nodeID] {
		to = l.shares.send(nodeID, l.cfg.ServerID, time.Now(), l.cfg.Jitter)
	}
	l.mu.Unlock()
	if to == "" {
		return ""
	}
	addr, err := l.cfg.Peers.Address(to)
	if err != nil {
		l.cfg.Logger.Debug("send a node to another server", "server", to, "err", err) // it stays
		return ""
	}
	return addr
}

// learn takes what the leader says of sessions.
func (s *shares) learn(sessions map[string]int, now time.Time) { s.sessions, s.at = sessions, now }

// send says to which server a node of this one's is to go, or "". Of many nodes that renew their leases
// it takes just so many by chance that all that are too many have gone when each has renewed its own.
func (s *shares) send(node, self string, now time.Time, chance func() float64) string {
	if _, there := s.sessions[self]; !there || len(s.sessions) < 2 || now.Sub(s.at) > staleAfter {
		return ""
	}
	s.sent = slices.DeleteFunc(s.sent, func(m sending) bool { return now.Sub(m.at) > sentFor })
	if slices.ContainsFunc(s.sent, func(m sending) bool { return m.node == node }) {
		return ""
	}
	counts, total := maps.Clone(s.sessions), 0
	for _, n := range counts {
		total += n
	}
	for _, m := range s.sent {
		counts[self]--
		counts[m.to]++
	}
	share := (total + len(counts) - 1) / len(counts)
	s.refill(now, total)
	surplus := counts[self] - share
	if surplus <= share/spareShare || s.tokens < 1 || chance() >= float64(surplus)/float64(counts[self]) {
		return ""
	}
	to := lacking(counts, share, chance())
	if to == "" || to == self {
		return ""
	}
	s.tokens--
	s.moved++
	s.sent = append(s.sent, sending{node, to, now})
	return to
}

// refill lets more nodes be sent away: a hundredth of them a second, and at least one.
func (s *shares) refill(now time.Time, total int) {
	pace := max(1, float64(total)/moveShare)
	s.tokens = math.Min(pace, s.tokens+pace*now.Sub(s.refilled).Seconds())
	s.refilled = now
}

// lacking picks a server that has fewer sessions than its share, the more probably the more it lacks.
func lacking(counts map[string]int, share int, chance float64) string {
	lack := 0
	for _, n := range counts {
		lack += max(0, share-n)
	}
	at := int(chance * float64(lack))
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		if at -= max(0, share-counts[id]); at < 0 && counts[id] < share {
			return id
		}
	}
	return ""
}
