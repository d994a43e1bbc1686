package client

import (
	"context"
	"maps"
	"strings"

	"github.com/nomadish/nomadish/client/alloc"
	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/client/task/hooks"
	"github.com/nomadish/nomadish/nomadish"
)

// networks makes network namespaces.
type networks interface {
	hooks.Networks
	Run(ctx context.Context) error
	Reap(ctx context.Context, keep func(id string) bool) error
	Offer(ctx context.Context) (*network.Offer, error)
	Obstacles() []string
}

// Attributes that say what of networks is not as it should be.
const (
	attrNoBridge  = "nomadish.network.unavailable" // why there are no networks but the host's
	attrObstacles = "unique.network.obstacles"     // rules of others that may be in the way
)

// hooksConfig leaves the networks out where there are none: an interface that holds nothing
// is not nil.
func (c *Client) hooksConfig() hooks.Config {
	cfg := hooks.Config{
		Region: c.cfg.Region, CgroupParent: c.cfg.CgroupParent, Artifacts: c.fetcher, Identities: signer{c}, Now: c.cfg.Now,
		DeniedEnv: c.cfg.DeniedEnv, DeniedUsers: c.cfg.DeniedUsers,
	}
	if c.networks != nil {
		cfg.Networks = c.networks
	}
	return cfg
}

func (c *Client) groupNetworks() alloc.Networks {
	if c.networks == nil {
		return nil
	}
	return c.networks
}

// keepNetworks runs what keeps the networks right.
func (c *Client) keepNetworks(ctx context.Context) error {
	if c.networks == nil {
		<-ctx.Done()
		return nil
	}
	return c.networks.Run(ctx)
}

// reapNetworks frees the networks of allocations that are not known or have ended.
func (c *Client) reapNetworks(ctx context.Context) {
	if c.networks == nil {
		return
	}
	err := c.networks.Reap(ctx, func(id string) bool {
		allocID, _, _ := strings.Cut(id, "/")
		c.mu.Lock()
		e := c.allocs[allocID]
		c.mu.Unlock()
		return e != nil && e.runner.UsesNetwork(id)
	})
	if err != nil {
		c.log.Warn("remove forgotten networks", "err", err)
	}
}

// offerNetworks adds to a node which networks it offers.
func (c *Client) offerNetworks(n *nomadish.Node) {
	if c.networks == nil {
		if c.noNetworks != "" {
			n.Attributes[attrNoBridge] = c.noNetworks
		}
		return
	}
	offer, err := c.networks.Offer(context.Background())
	if err != nil {
		c.log.Warn("look at the node's networks", "err", err)
	}
	maps.Copy(n.Attributes, offer.Attributes)
	for _, mode := range offer.Modes {
		n.NodeResources.Networks = append(n.NodeResources.Networks, &nomadish.NetworkResource{Mode: mode})
		nn := &nomadish.NodeNetwork{Mode: mode}
		if mode == network.ModeBridge {
			nn.Device = c.cfg.BridgeName
		}
		n.NodeResources.NodeNetworks = append(n.NodeResources.NodeNetworks, nn)
	}
	c.nameObstacles(n)
}

// nameObstacles says in a node's attributes which rules of others may be in the way.
func (c *Client) nameObstacles(n *nomadish.Node) {
	delete(n.Attributes, attrObstacles)
	if found := c.networks.Obstacles(); len(found) > 0 {
		n.Attributes[attrObstacles] = strings.Join(found, "; ")
	}
}

// networksChanged registers the node anew when the rules of others have changed.
func (c *Client) networksChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.node == nil {
		return // it is being made
	}
	n := *c.node
	n.Attributes = maps.Clone(n.Attributes)
	c.nameObstacles(&n)
	n.ComputedClass = fingerprint.ComputedClass(&n)
	c.node = &n
	notify(c.nodeDirty)
}
