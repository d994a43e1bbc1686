package nomadish

import "time"

// NodeLease is a server's answer to a node that registers or says that it lives: it does
// so again within HeartbeatTTL, or the server takes it for down.
type NodeLease struct {
	HeartbeatTTL time.Duration
	Index        uint64
}
