package agent

import (
	"context"
	"encoding/base64"
	"net"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/httpapi"
	"github.com/nomadish/nomadish/server/gossip"
)

// membership is what users change of which servers know each other.
type membership Agent

// errNoPool is the answer of an agent that is not in the servers' pool.
func errNoPool() error {
	return nomadish.Errorf(nomadish.KindInvalid, "this agent is no server that others could join")
}

// Join has this server join others.
func (m *membership) Join(ctx context.Context, addrs []string) (int, error) {
	return (*Agent)(m).Join(ctx, addrs)
}

// ForceLeave has the servers take one that failed for one that left. Of a name that nobody has it is no error.
func (m *membership) ForceLeave(ctx context.Context, name string, prune bool) error {
	if m.pool == nil {
		return errNoPool()
	}
	return m.pool.ForceLeave(ctx, name, prune)
}

// SetServers has the client node talk to other servers.
func (m *membership) SetServers(_ context.Context, addrs []string) error {
	if m.servers == nil {
		return nomadish.Errorf(nomadish.KindInvalid, "this agent is a server itself: its node asks it and no other")
	}
	all := make([]string, len(addrs))
	for i, addr := range addrs {
		all[i] = withPort(addr, DefaultRPCPort)
		if host, port, err := net.SplitHostPort(all[i]); err != nil || host == "" || !isPort(port) {
			return nomadish.Errorf(nomadish.KindInvalid, "address %q: want host or host:port", addr)
		}
	}
	m.servers.Set(all)
	return nil
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// GossipKeys asks the servers for their keys, or changes them everywhere.
func (m *membership) GossipKeys(ctx context.Context, op httpapi.KeyOp, text string) (*nomadish.KeyringResponse, error) {
	if m.pool == nil {
		return nil, errNoPool()
	}
	if op == httpapi.KeyList {
		return keyringResponse(m.pool.ListKeys(ctx))
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if n := len(key); err != nil || n != 16 && n != 24 && n != 32 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "the key has to be 16, 24 or 32 bytes in base64")
	}
	change := map[httpapi.KeyOp]func(context.Context, []byte) (*gossip.KeyReport, error){
		httpapi.KeyInstall: m.pool.InstallKey, httpapi.KeyUse: m.pool.UseKey, httpapi.KeyRemove: m.pool.RemoveKey,
	}[op]
	return keyringResponse(change(ctx, key))
}

func keyringResponse(r *gossip.KeyReport, err error) (*nomadish.KeyringResponse, error) {
	if err != nil {
		return nil, err
	}
	return &nomadish.KeyringResponse{Messages: r.Errors, Keys: r.Keys, PrimaryKeys: r.Primary, NumNodes: r.Members}, nil
}
