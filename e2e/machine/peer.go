//go:build linux

package machine

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Peer is where the node's server takes other agents' calls: host:port.
func (n *Node) Peer() (string, error) { return n.port("rpc") }

// Gossip is where the node's server hears of other servers: host:port.
func (n *Node) Gossip() (string, error) { return n.port("serf") }

// port is an address of the node's configuration.
func (n *Node) port(name string) (string, error) {
	text, err := os.ReadFile(n.configFile())
	if err != nil {
		return "", err
	}
	var cfg struct{ Ports map[string]int }
	if err := json.Unmarshal(text, &cfg); err != nil {
		return "", fmt.Errorf("%s: %w", n.configFile(), err)
	}
	return net.JoinHostPort(n.cfg.Address, strconv.Itoa(cfg.Ports[name])), nil
}
