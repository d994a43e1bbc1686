package endpoint

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// ACLConfig configures access control.
type ACLConfig struct {
	Enabled bool // default: everybody may do everything

	// Tokens that expire live at least MinTTL, by default 1m, and at most MaxTTL, by default 24h.
	MinTTL time.Duration
	MaxTTL time.Duration

	// ResetFile holds the index at which the first token was made, where somebody who has lost
	// it wants another one. It is removed when that is done. Default: none is looked for.
	ResetFile string
}

func (c ACLConfig) withDefaults() ACLConfig {
	c.MinTTL = cmp.Or(c.MinTTL, time.Minute)
	c.MaxTTL = cmp.Or(c.MaxTTL, 24*time.Hour)
	return c
}

var errACLDisabled = nomadish.Errorf(nomadish.KindInvalid, "ACL support disabled")

// aclAttempts is how often a write is tried whose row others keep changing.
const aclAttempts = 8

// manage is for what only management may do.
func (e *Endpoint) manage(ctx context.Context) error {
	switch {
	case !e.cfg.ACL.Enabled:
		return errACLDisabled
	case !nomadish.CallerFrom(ctx).Management():
		return nomadish.ErrDenied
	}
	return nil
}

// again repeats a write whose row has changed since it was read, or whose root key has.
func again(ctx context.Context, write func() error) error {
	var err error
	for range aclAttempts {
		err = write()
		if err == nil || nomadish.KindOf(err) != nomadish.KindConflict || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// orNone makes "not found" nil without an error: a row that is yet to be made.
func orNone[T any](row *T, err error) (*T, error) {
	if errors.Is(err, nomadish.ErrNotFound) {
		return nil, nil
	}
	return row, err
}

// Tables that tell what a caller's own policies and roles are.
var ownTables = []string{state.TableACLTokens, state.TableACLRoles, state.TableACLPolicies}

// anonymousPolicy is the policy of who shows no token.
const anonymousPolicy = "anonymous"

// own returns the names of the policies, and the IDs of the roles, that the caller has.
func (e *Endpoint) own(ctx context.Context, r state.Reader, ws memdb.WatchSet) (policies, roles map[string]bool) {
	policies, roles = map[string]bool{}, map[string]bool{}
	caller := nomadish.CallerFrom(ctx)
	switch caller.Kind {
	case nomadish.CallerAnonymous:
		policies[anonymousPolicy] = true
	case nomadish.CallerToken:
		token, err := r.ACLTokenByAccessor(ws, caller.ID)
		if err != nil {
			return policies, roles // it was deleted just now
		}
		for _, p := range token.Policies {
			policies[p] = true
		}
		for _, link := range token.Roles {
			role, err := r.ACLRole(ws, link.ID)
			if err != nil {
				continue
			}
			roles[role.ID] = true
			for _, p := range role.Policies {
				policies[p.Name] = true
			}
		}
	case nomadish.CallerWorkload:
		for _, p := range e.workloadPolicies(r, ws, caller.ID, caller.Name) {
			policies[p.Name] = true
		}
	}
	return policies, roles
}

// firstIndex is that of a table that never had a row: Nomad's clients expect one above zero.
const firstIndex = 1

// tableIndex is the index of the newest change of one of the tables.
func tableIndex(r state.Reader, tables ...string) uint64 {
	return max(r.TableIndex(tables...), firstIndex)
}
