package client

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// identityMost bounds the time between two renewals of the node's identity.
const identityMost = 24 * time.Hour

// keepIdentity has the servers sign the node's identity, anew when half of its time is over or when
// somebody asks for it.
func (c *Client) keepIdentity(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.registered:
	}
	pause := backoff{first: c.cfg.RetryInterval}
	for ctx.Err() == nil {
		signed, err := c.server.SignNodeIdentity(ctx, c.id)
		if err != nil {
			if ctx.Err() == nil && pause.next > 4*pause.first { // servers that have just begun may have no keys yet
				c.log.Warn("have the node's identity signed", "err", err)
			}
			if pause.wait(ctx, c.cfg.Jitter()) != nil {
				break
			}
			continue
		}
		pause.reset()
		c.mu.Lock()
		c.signed = signed
		c.mu.Unlock()
		half := time.Unix(signed.Expires, 0).Sub(c.cfg.Now()) / 2
		timer := time.NewTimer(min(max(half, c.cfg.RetryInterval), identityMost))
		select {
		case <-c.renewIdentity:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// Identity returns what the node's identity says.
func (c *Client) Identity(context.Context) (*nomadish.NodeIdentityResponse, error) {
	c.mu.Lock()
	signed := c.signed
	c.mu.Unlock()
	if signed == nil {
		return nil, nomadish.Errorf(nomadish.KindNoLeader, "the node has yet to get its identity")
	}
	claims, err := nomadish.TokenClaims(signed.JWT)
	if err != nil {
		return nil, err
	}
	return &nomadish.NodeIdentityResponse{Claims: claims}, nil
}

// RenewIdentity has the servers asked for a new identity.
func (c *Client) RenewIdentity(context.Context) error {
	notify(c.renewIdentity)
	return nil
}
