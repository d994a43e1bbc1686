package nomadish

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// SignedNodeIdentity is a token that says which node its bearer is. Others verify it as they do
// identities of workloads.
type SignedNodeIdentity struct {
	JWT     SecretText
	Expires int64 // seconds since 1970
}

// NodeIdentitySubject is the subject of a node's identity.
func NodeIdentitySubject(region, pool, nodeID string) string {
	return strings.Join([]string{"node", region, pool, nodeID, "default"}, ":")
}

// NodeIdentityResponse shows what a node's identity says.
type NodeIdentityResponse struct {
	Claims map[string]any
}

// NodeIdentityRenewRequest asks a node for a new identity.
type NodeIdentityRenewRequest struct {
	NodeID string // default the node of the agent that is asked
}

// TokenClaims reads what a token of ours says, without the empty claims. It is not verified.
func TokenClaims(jwt SecretText) (map[string]any, error) {
	parts := strings.Split(jwt.Reveal(), ".")
	if len(parts) != 3 {
		return nil, Errorf(KindInvalid, "the token has %d parts, not 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, Errorf(KindInvalid, "the token's claims: %w", err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, Errorf(KindInvalid, "the token's claims: %w", err)
	}
	for name, value := range claims {
		if value == "" {
			delete(claims, name)
		}
	}
	return claims, nil
}
