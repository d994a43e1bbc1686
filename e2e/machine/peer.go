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
func (n *Node) Peer() (string, error) {
	text, err := os.ReadFile(n.configFile())
	if err != nil {
		return "", err
	}
	var cfg struct{ Ports struct{ RPC int } }
	if err := json.Unmarshal(text, &cfg); err != nil {
		return "", fmt.Errorf("%s: %w", n.configFile(), err)
	}
	return net.JoinHostPort(n.cfg.Address, strconv.Itoa(cfg.Ports.RPC)), nil
}
