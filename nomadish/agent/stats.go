package agent

import (
	"strconv"

	"github.com/nomadish/nomadish/server/gossip"
)

// bootstrapExpect is the number of servers that this one waited for to begin a cluster.
func (a *Agent) bootstrapExpect() int {
	if a.cfg.Pool == nil {
		return 1
	}
	return a.cfg.Pool.Expect
}

// serverStats tells how the server is, by Nomad's names.
func (a *Agent) serverStats(stats map[string]map[string]string) {
	c, r := a.server.Consensus(), a.server.Store().Reader()
	id, _ := c.Leader()
	peers := c.Peers()
	stats["nomad"]["leader"] = strconv.FormatBool(c.IsLeader())
	stats["nomad"]["leader_addr"] = (*status)(a).address(id)
	stats["nomad"]["bootstrap"] = strconv.FormatBool(a.bootstrapExpect() == 1)
	raft := map[string]string{
		"applied_index": strconv.FormatUint(r.Index(), 10), "term": strconv.FormatUint(r.Term(), 10),
		"state_hash": r.Hash().String(), "num_peers": strconv.Itoa(max(0, len(peers)-1)), "state": "Follower",
	}
	if c.IsLeader() {
		raft["state"] = "Leader"
	}
	if s, err := c.Status(); err == nil {
		raft["last_log_index"] = strconv.FormatUint(s.LastIndex, 10)
		raft["last_log_term"] = strconv.FormatUint(s.LastTerm, 10)
		raft["last_contact"] = s.LastContact.String()
	}
	stats["raft"] = raft
	if a.pool == nil {
		return
	}
	count, regions := map[string]int{}, map[string]bool{}
	members := a.pool.Members()
	for _, m := range members {
		count[m.Status]++
		regions[m.Region] = true
	}
	stats["nomad"]["known_regions"] = strconv.Itoa(len(regions))
	stats["serf"] = map[string]string{
		"members": strconv.Itoa(len(members)), "failed": strconv.Itoa(count[gossip.StatusFailed]),
		"left": strconv.Itoa(count[gossip.StatusLeft]), "encrypted": strconv.FormatBool(a.pool.Encrypted()),
	}
}
