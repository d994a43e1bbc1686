package nomadish

import (
	"encoding/json"
	"strings"
	"time"
)

// IdentityClaims are what a workload identity says of its workload: a task, or a service of
// an allocation. Times are in seconds since 1970.
type IdentityClaims struct {
	Namespace      string            `json:"nomad_namespace"`
	JobID          string            `json:"nomad_job_id"`
	AllocationID   string            `json:"nomad_allocation_id"`
	Task           string            `json:"nomad_task,omitempty"`
	Service        string            `json:"nomad_service,omitempty"`
	VaultRole      string            `json:"vault_role,omitempty"`
	NodeName       string            `json:"nomad_node_name,omitempty"` // of tokens that introduce a node
	NodePool       string            `json:"nomad_node_pool,omitempty"`
	NodeID         string            `json:"nomad_node_id,omitempty"` // of the identities of nodes, with what follows
	NodeClass      string            `json:"nomad_node_class,omitempty"`
	NodeDatacenter string            `json:"nomad_node_datacenter,omitempty"`
	Extra          map[string]string `json:"extra_claims,omitempty"`

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

// IdentitiesRequest is how a node asks for identities of its tasks.
type IdentitiesRequest struct{ Identities []IdentityRequest }

// IdentityRequest asks for one of a task's identities, by its name.
type IdentityRequest struct {
	AllocationID string
	Task         string
	Identity     string
}

// IdentitiesResponse has an answer for each request, in their order.
type IdentitiesResponse struct{ Identities []SignedIdentity }

// SignedIdentity is an identity, or why there is none. It never gets into the state.
type SignedIdentity struct {
	JWT      SecretText
	IssuedAt int64 // seconds since 1970
	Expires  int64 // seconds since 1970; 0: it does not by itself
	Error    string
}

// OIDCDiscovery tells others how to verify the cluster's identities (OpenID Connect Discovery 1.0).
type OIDCDiscovery struct {
	Issuer        string   `json:"issuer"`
	JWKS          string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	Subjects      []string `json:"subject_types_supported"`
	Claims        []string `json:"claims_supported"`
}

// IdentityID is the job's ID in identities: of a job that another one has launched, that one's.
func (j *Job) IdentityID() string {
	if parent := Val(j.ParentID); parent != "" {
		return parent
	}
	return Val(j.ID)
}

// WorkloadIdentity returns the task's identity of that name, or nil.
func (t *Task) WorkloadIdentity(name string) *WorkloadIdentity {
	if t.Identity != nil && t.Identity.Name == name {
		return t.Identity
	}
	for _, id := range t.Identities {
		if id.Name == name {
			return id
		}
	}
	return nil
}
