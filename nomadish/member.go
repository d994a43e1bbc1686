package nomadish

// Member is a server as the other servers know it.
type Member struct {
	Name        string // node name and region, as "a.global"
	Addr        string
	Port        uint16 // of gossip
	Tags        map[string]string
	Status      string // alive, leaving, left or failed
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// ServerMembers is one server's view of all servers.
type ServerMembers struct {
	ServerName   string
	ServerRegion string
	ServerDC     string
	Members      []*Member
}

// AgentSelf is what an agent says of itself.
type AgentSelf struct {
	Config map[string]any               `json:"config"` // by the names of Nomad's agent configuration
	Member Member                       `json:"member"`
	Stats  map[string]map[string]string `json:"stats"`
}

// AgentHealth says whether the agent's halves work; nil is a half that it has not.
type AgentHealth struct {
	Client *HealthStatus `json:"client,omitempty"`
	Server *HealthStatus `json:"server,omitempty"`
}

// HealthStatus is the health of one half of an agent.
type HealthStatus struct {
	Ok      bool   `json:"ok"`
	Message string `json:"message"`
}

// ServerJoinResponse says how many servers let the asked one in, and why not more.
type ServerJoinResponse struct {
	NumJoined int    `json:"num_joined"`
	Error     string `json:"error"`
	Warning   string `json:"warning"`
}

// KeyringRequest names a key of the servers' gossip.
type KeyringRequest struct {
	Key SecretText // in base64
}

// KeyringResponse tells which servers have which keys of their gossip.
type KeyringResponse struct {
	Messages    map[string]string // of servers that did not do what they were asked to, by name
	Keys        map[string]int    // by key in base64: how many servers have it
	PrimaryKeys map[string]int    // by key in base64: how many servers encrypt by it
	NumNodes    int               // servers that were asked
}
