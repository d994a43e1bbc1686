package agent

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server/gossip"
)

// maxRegionServers is how many servers of another region are tried for one request.
const maxRegionServers = 5

// Region returns the way to another region: any of its servers, those that seem to live first.
func (r *router) Region(ctx context.Context, region string) (http.RoundTripper, error) {
	switch {
	case region == r.cfg.Region:
		return nil, nil
	case r.server == nil:
		return r.Server(ctx)
	}
	servers := serversOf(r.server.Members(), region)
	if len(servers) == 0 {
		return nil, nomadish.Errorf(nomadish.KindInternal, "No path to region")
	}
	var ways []http.RoundTripper
	for _, m := range servers[:min(len(servers), maxRegionServers)] {
		if way, err := r.hub.Server(m.ID); err == nil {
			ways = append(ways, way)
		}
	}
	return transport.First("region "+region, ways), nil
}

// serversOf lists the servers of a region in the order in which they are tried: by chance, and those
// that do not answer the others last.
func serversOf(members []gossip.Member, region string) []gossip.Member {
	members = slices.DeleteFunc(slices.Clone(members), func(m gossip.Member) bool { return m.Region != region || m.Status == gossip.StatusLeft })
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	slices.SortStableFunc(members, func(a, b gossip.Member) int { return cmp.Compare(silent(a), silent(b)) })
	return members
}

func silent(m gossip.Member) int {
	if m.Status == gossip.StatusAlive {
		return 0
	}
	return 1
}

// Regions lists the regions that are known by name.
func (s *status) Regions(context.Context) ([]string, error) {
	regions := []string{s.cfg.Region}
	for _, m := range s.server.Members() {
		if m.Status != gossip.StatusLeft {
			regions = append(regions, m.Region)
		}
	}
	slices.Sort(regions)
	return slices.Compact(regions), nil
}

// authoritative is the region that changes what all regions share, as this agent's servers know it.
// Without access control each region is its own.
func (a *Agent) authoritative() string {
	if !a.cfg.ACL || a.cfg.Server == nil {
		return ""
	}
	return cmp.Or(a.cfg.Server.Authoritative, a.cfg.Region)
}

// askAuthoritative asks the authoritative region for what all regions share.
func (a *Agent) askAuthoritative(ctx context.Context, ask nomadish.SharedQuery) (*nomadish.SharedRows, error) {
	region := a.authoritative()
	way, err := (*router)(a).Region(ctx, region)
	if err != nil {
		return nil, err
	}
	c, err := api.New(api.Config{Region: region, Token: *a.replicationToken.Load(), Transport: way})
	if err != nil {
		return nil, err
	}
	rows, err := c.Operator().SharedRows(ctx, ask)
	if nomadish.KindOf(err) == nomadish.KindDenied && err != nil {
		return nil, nomadish.Errorf(nomadish.KindDenied, "acl.replication_token: it is no management token of region %q: %w", region, err)
	}
	return rows, err
}
