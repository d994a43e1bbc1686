package nomadish

import (
	"encoding/json"
	"strings"
	"time"
)

// IdentityClaims are what a workload identity says of its workload: a task, or a service of
// an allocation. Times are in seconds since 1970.
type IdentityClaims struct {
	Namespace    string            `json:"nomad_namespace"`
	JobID        string            `json:"nomad_job_id"`
	AllocationID string            `json:"nomad_allocation_id"`
	Task         string            `json:"nomad_task,omitempty"`
	Service      string            `json:"nomad_service,omitempty"`
	VaultRole    string            `json:"vault_role,omitempty"`
	Extra        map[string]string `json:"extra_claims,omitempty"`

	Issuer    string   `json:"iss,omitempty"`
	Subject   string   `json:"sub"`
	Audience  Audience `json:"aud,omitempty"`
	Expires   int64    `json:"exp,omitempty"` // 0: it does not by itself
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
}

// Expiry is when the identity ends; zero: it does not by itself.
func (c *IdentityClaims) Expiry() time.Time {
	if c.Expires == 0 {
		return time.Time{}
	}
	return time.Unix(c.Expires, 0)
}

// IdentitySubject is the subject of an identity: who its workload is, with the name of the
// task or service, and of the identity.
func IdentitySubject(region, namespace, job, group, workload, identity string) string {
	return strings.Join([]string{region, namespace, job, group, workload, identity}, ":")
}

// Audience is whom a token is for. A single one is written as a string (RFC 7519, 4.1.3).
type Audience []string

// MarshalJSON implements json.Marshaler.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}
