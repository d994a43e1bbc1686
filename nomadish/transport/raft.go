package transport

import (
	"context"
	"fmt"
	"net"
)

// Raft carries raft's connections between servers over their hubs' addresses. Methods may
// be called concurrently.
type Raft struct {
	hub  *Hub
	addr func(id string) (string, error)
}

// NewRaft returns raft's connections over a hub. addr says where the server of an ID
// listens for agents.
func NewRaft(hub *Hub, addr func(id string) (string, error)) *Raft {
	return &Raft{hub: hub, addr: addr}
}

// Dial opens a connection to the server with that ID.
func (r *Raft) Dial(ctx context.Context, id string) (net.Conn, error) {
	addr, err := r.addr(id)
	if err != nil {
		return nil, fmt.Errorf("connect raft to server %s: %w", id, err)
	}
	c, err := r.hub.connect(ctx, addr, protocolRaft)
	if err != nil {
		return nil, fmt.Errorf("connect raft to server %s: %w", id, err)
	}
	if err := r.hub.checkRaft(c, id); err != nil {
		_ = c.Close() // it is of no use
		return nil, fmt.Errorf("connect raft to server %s: %w", id, err)
	}
	return c, nil
}

// Accept returns the next connection that another server opened to this one.
func (r *Raft) Accept(ctx context.Context) (net.Conn, error) {
	return r.hub.raft.accept(ctx)
}
