//go:build !linux

package client

import "github.com/nomadish/nomadish/client/network"

// makeNetworks says that there are no networks but the host's.
func (c *Client) makeNetworks() error {
	if c.cfg.Network != nil {
		c.noNetworks = network.ErrUnsupported.Error() + ": it needs Linux"
	}
	return nil
}
