package client

import (
	"context"
	"maps"

	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/nomadish"
)

// staticMeta is the node's metadata from its configuration, and what job files may refer to
// though nobody has said it.
func staticMeta(configured map[string]string) map[string]string {
	meta := map[string]string{
		"connect.log_level":         "info",
		"connect.proxy_concurrency": "1",
	}
	maps.Copy(meta, configured)
	return meta
}

// metadata is the metadata of the node that was set while it ran. A nil value unsets what the
// configuration says. The map is never changed.
type metadata map[string]*string

// merge returns the node's whole metadata.
func (m metadata) merge(static map[string]string) map[string]string {
	all := maps.Clone(static)
	for key, value := range m {
		if value == nil {
			delete(all, key)
		} else {
			all[key] = *value
		}
	}
	return all
}

// with returns the metadata with changes. What unsets nothing that the configuration says is
// forgotten.
func (m metadata) with(changes map[string]*string, static map[string]string) metadata {
	next := metadata{}
	maps.Copy(next, m)
	maps.Copy(next, changes)
	maps.DeleteFunc(next, func(key string, value *string) bool {
		_, configured := static[key]
		return value == nil && !configured
	})
	return next
}

// restoreMeta takes over the metadata that an earlier client was told.
func (c *Client) restoreMeta() error {
	stored, err := c.state.NodeMeta()
	if err != nil {
		return err
	}
	c.setMeta(metadata{}.with(stored, c.static))
	return nil
}

// setMeta puts metadata into the node, which is registered anew.
func (c *Client) setMeta(m metadata) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dynamic = m
	n := *c.node
	n.Meta = m.merge(c.static)
	n.ComputedClass = fingerprint.ComputedClass(&n)
	c.node = &n
	notify(c.nodeDirty)
}

// Metadata returns the node's metadata and where it comes from.
func (c *Client) Metadata(context.Context) (*nomadish.NodeMetaResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dynamic == nil {
		return nil, nomadish.Errorf(nomadish.KindNoLeader, "the node has yet to start")
	}
	return &nomadish.NodeMetaResponse{
		Meta: c.dynamic.merge(c.static), Dynamic: maps.Clone(map[string]*string(c.dynamic)), Static: maps.Clone(c.static),
	}, nil
}

// ApplyMetadata changes the node's metadata: what has a value is set to it, and what has none
// is unset. It holds over restarts of the agent.
func (c *Client) ApplyMetadata(ctx context.Context, changes map[string]*string) (*nomadish.NodeMetaResponse, error) {
	c.metaMu.Lock() // one after the other, on disk as well
	defer c.metaMu.Unlock()
	was, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := changes[""]; ok || len(changes) == 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "missing required Meta: want keys, each with a value or null")
	}
	next := metadata(was.Dynamic).with(changes, c.static)
	if err := nomadish.CheckMeta(next.merge(c.static)); err != nil {
		return nil, err
	}
	if err := c.state.PutNodeMeta(next); err != nil {
		return nil, err
	}
	c.setMeta(next)
	return c.Metadata(ctx)
}
