package client

import (
	"errors"

	"github.com/nomadish/nomadish/client/network"
)

// makeNetworks makes what makes networks, if the node is to offer some and can. Where it
// can't, the node says why.
func (c *Client) makeNetworks() error {
	if c.cfg.Network == nil {
		return nil
	}
	cfg := *c.cfg.Network
	cfg.DataDir, cfg.Logger, cfg.Changed = c.cfg.DataDir, c.log, c.networksChanged
	m, err := network.New(cfg)
	if errors.Is(err, network.ErrUnsupported) {
		c.noNetworks = err.Error()
		c.log.Warn("the node offers no networks but the host's", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	c.networks = m
	return nil
}
