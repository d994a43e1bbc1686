package nomadish

import "time"

// AuthorityState is where a certificate authority of the cluster is in its life.
type AuthorityState string

// The states of authorities. All of them are trusted.
const (
	AuthorityPrepared AuthorityState = "prepared" // signs when every agent trusts it
	AuthorityActive   AuthorityState = "active"   // signs; there is one
	AuthorityRetiring AuthorityState = "retiring" // goes when no agent has a certificate of it any more
)

// Authority is a certificate authority of the cluster: what everybody may see of it, and, sealed by
// the keyring, its key.
type Authority struct {
	ID          string // the fingerprint of its certificate: SHA-256, in hex
	State       AuthorityState
	Certificate []byte // DER
	CreateTime  int64  // nanoseconds since 1970
	CreateIndex uint64
	ModifyIndex uint64

	Key Sealed `json:"-"` // PKCS #8, bound to SealedBinding
}

// SealedBinding is what the sealed key of the authority is bound to.
func (a *Authority) SealedBinding() []byte { return []byte("authority\x00" + a.ID) }

// CertifiedAgent is an agent that has a certificate of the cluster's authority.
type CertifiedAgent struct {
	Role        string // server or client
	ID          string // of the server or node
	Name        string // of its machine
	AuthorityID string // which has signed its newest certificate
	Trusts      string // the newest authority that it has said to trust
	Serial      string // of its newest certificate, in hex
	NotAfter    int64  // when that ends, in nanoseconds since 1970
	CreateIndex uint64
	ModifyIndex uint64
}

// Ended says whether the agent's certificate is good no more.
func (a *CertifiedAgent) Ended(now time.Time) bool { return now.UnixNano() >= a.NotAfter }

// RevokedCertificate says that certificates of the cluster's authority are refused before they end: one of
// them, by its serial number, or all of an agent that were signed until a time.
type RevokedCertificate struct {
	Role        string // server or client; empty: not known
	AgentID     string // of the server or node; empty: not known
	Name        string // of its machine
	Serial      string // in hex; empty: all of that agent's until Time
	Reason      string
	Time        int64 // when it was revoked, in nanoseconds since 1970
	NotAfter    int64 // when the last of them has ended, in nanoseconds since 1970
	CreateIndex uint64
	ModifyIndex uint64
}

// ID tells what is revoked from what else is.
func (r *RevokedCertificate) ID() string {
	if r.Serial != "" {
		return "serial/" + r.Serial
	}
	return r.Role + "/" + r.AgentID
}

// Bounds of what is revoked.
const (
	MaxRevokedCertificates = 4096 // that there are at once
	MaxRevokeReason        = 256  // bytes
)

// RevokeRequest asks for certificates to be refused: those of an agent, or the one with a serial number.
type RevokeRequest struct {
	Role    string // server or client
	AgentID string
	Serial  string // in hex
	Reason  string
}

// RevokeResponse tells what is revoked.
type RevokeResponse struct {
	Revoked *RevokedCertificate
	Index   uint64
}

// JoinToken lets agents join the cluster that have no certificate yet. The state knows its secret
// only as a hash.
type JoinToken struct {
	ID             string
	Role           string     // server or client
	NodePool       string     // that a client is to be of; empty: any
	Uses           int        // that are left
	Secret         SecretText `codec:"-" json:",omitempty"` // only in the answer to who makes it
	CreateTime     int64
	ExpirationTime int64 // nanoseconds since 1970
	CreateIndex    uint64
	ModifyIndex    uint64

	SecretHash KeyedHash `json:"-"`
}

// Bounds of join tokens.
const (
	JoinTokenTTL     = time.Hour // of tokens that ask for none
	JoinTokenMaxTTL  = 7 * 24 * time.Hour
	JoinTokenMaxUses = 1000
	MaxJoinTokens    = 1000 // that there are at once
)

// JoinTokenPurpose is what secrets of join tokens are hashed for.
const JoinTokenPurpose = "join-token"

// JoinTokenRequest asks for a join token.
type JoinTokenRequest struct {
	Role     string        // server or client
	NodePool string        // that a client is to be of; empty: any
	TTL      time.Duration // default an hour
	Uses     int           // default 1
}

// JoinTokenResponse is a new join token.
type JoinTokenResponse struct {
	Token *JoinToken
	// Text is what the joining agent is given: the token's secret, and the fingerprint by which it
	// knows the cluster's authority.
	Text  SecretText
	Index uint64
}

// CertificateRequest asks for an agent's next certificate, or only says what it trusts.
type CertificateRequest struct {
	Request []byte // a CSR in DER; empty: none is wanted
	Trusts  string // the newest authority that the agent trusts, by ID
	Name    string // of its machine
}

// CertificateResponse is a certificate.
type CertificateResponse struct {
	Certificate []byte   // DER; empty: none was wanted
	Authorities [][]byte // that are trusted, in DER, the newest last
	Issuer      string   // ID of the authority that signs
}

// AuthoritiesResponse tells of the cluster's authorities, and how far a change of them is.
type AuthoritiesResponse struct {
	Authorities []*Authority
	Agents      []*CertifiedAgent // only for who may see them
	// Revoked are the certificates that are refused before they end: for everybody those of servers, and
	// all of them for who may see agents.
	Revoked []*RevokedCertificate `json:",omitempty"`
	// Waiting are the agents that a change of authorities waits for, as ROLE/ID.
	Waiting []string
	Index   uint64
}

// EnrollRequest is what somebody says who joins a cluster.
type EnrollRequest struct {
	Token   SecretText // ID and secret
	Role    string     // server or client
	ID      string     // that it is to have as a server or node
	Secret  SecretText // of a node: proves that it is the node of this ID, if there is one
	Name    string     // of its machine
	Request []byte     // a CSR in DER
	Addr    string     // where it was seen; set by the server that was asked
}

// EnrollResponse is what a new agent needs.
type EnrollResponse struct {
	Certificate []byte
	Authorities [][]byte
	Region      string
	Datacenter  string
	NodePool    string   // of a client; empty: as it likes
	Servers     []string // addresses for other agents
	Gossip      []string // addresses of the servers' gossip; for servers alone

	// For servers alone.
	GossipKey   SecretText // newest key of the servers' gossip, in base64; empty: it is not encrypted
	WrappingKey SecretText // content of the file that unwraps the keyring; empty: another wrapper is configured
	ACL         bool       // access is controlled
}
