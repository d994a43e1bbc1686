package liveness

import (
	"slices"
	"time"
)

// holders are the servers with which nodes have sessions, by node. One has two while it goes over to
// another server; the newest comes last.
type holders map[string][]string

// newest returns the server of a node's newest session, or "".
func (h holders) newest(id string) string {
	if all := h[id]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// add notes a session; with behind it is not the newest.
func (h holders) add(id, server string, behind bool) {
	all := slices.DeleteFunc(h[id], func(s string) bool { return s == server })
	if behind {
		h[id] = slices.Insert(all, 0, server)
	} else {
		h[id] = append(all, server)
	}
}

// remove notes that there is no session any more.
func (h holders) remove(id, server string) {
	all := slices.DeleteFunc(h[id], func(s string) bool { return s == server })
	if len(all) == 0 {
		delete(h, id)
	} else {
		h[id] = all
	}
}

// clear removes all sessions of a server.
func (h holders) clear(server string) {
	for id, all := range h {
		if slices.Contains(all, server) {
			h.remove(id, server)
		}
	}
}

// sessions says how many nodes have sessions with each server, as long as nothing is wrong: it is nil
// while nodes or servers are in trouble, or may just be coming back.
func (j *judge) sessions(now time.Duration) map[string]int {
	if now < calmAfter || j.mass {
		return nil
	}
	silent := j.open
	out := make(map[string]int, len(j.servers))
	for id, w := range j.servers {
		switch {
		case now-w.told > awayFor: // it is not one of the cluster any more, or not soon
		case now-w.told > staleAfter, now-w.since < calmAfter, !j.trusts(now, id):
			return nil
		default:
			out[id] = w.live
			silent += len(w.silent)
		}
	}
	if silent >= massLeast && silent*calmShare > len(j.nodes) {
		return nil
	}
	return out
}
