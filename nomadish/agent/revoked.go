package agent

import (
	"context"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// revoke has this agent refuse certificates, on new connections and on those that are open. They are kept in a
// file for the time after its start in which nobody has told it yet.
func (a *Agent) revoke(rows []*nomadish.RevokedCertificate) error {
	if err := Certificates(a.cfg.DataDir).WriteRevoked(rows); err != nil {
		return err
	}
	a.refuse(rows)
	return nil
}

func (a *Agent) refuse(rows []*nomadish.RevokedCertificate) {
	check := certificate.NewRevoked(a.cfg.Region, rows).Check
	a.peerTLS.Refuse(check)
	if a.tls != nil {
		a.tls.Refuse(check)
	}
}

// refuseKept has the agent refuse what was revoked when it ended.
func (a *Agent) refuseKept() error {
	if a.cfg.PeerTLS == nil || !a.cfg.PeerTLS.Managed {
		return nil
	}
	rows, err := Certificates(a.cfg.DataDir).Revoked()
	if err != nil {
		return err
	}
	a.refuse(rows)
	return nil
}

// followRevoked has a server refuse what its state says is revoked. Until the state has caught up after a
// start, that is besides what was revoked when the server ended.
func (a *Agent) followRevoked(ctx context.Context) error {
	last, err := Certificates(a.cfg.DataDir).Revoked()
	if err != nil {
		return err
	}
	kept, caughtUp := last, make(chan struct{})
	catch := func(ctx context.Context) error {
		if a.server.CaughtUp(ctx) == nil {
			close(caughtUp)
		}
		<-ctx.Done()
		return nil
	}
	follow := func(ctx context.Context) error {
		for ctx.Err() == nil {
			ws := memdb.NewWatchSet()
			rows := slices.Collect(a.server.Store().Reader().RevokedCertificates(ws))
			select {
			case <-caughtUp:
			default:
				ws.Add(caughtUp)
				rows = joined(rows, kept)
			}
			if !slices.EqualFunc(rows, last, sameRevocation) {
				if err := a.revoke(rows); err != nil {
					a.cfg.Logger.Error("what is revoked can't be stored", "err", err)
					a.refuse(rows)
				}
				last = rows
			}
			_ = ws.WatchCtx(ctx) // the loop sees that ctx has ended
		}
		return nil
	}
	return lifecycle.Run(ctx, catch, follow)
}

// joined is what is in rows, and what is in kept and not in those.
func joined(rows, kept []*nomadish.RevokedCertificate) []*nomadish.RevokedCertificate {
	for _, k := range kept {
		if !slices.ContainsFunc(rows, func(r *nomadish.RevokedCertificate) bool { return r.ID() == k.ID() }) {
			rows = append(rows, k)
		}
	}
	return rows
}

// sameRevocation says whether two rows refuse the same certificates.
func sameRevocation(a, b *nomadish.RevokedCertificate) bool {
	return a.ID() == b.ID() && a.Time == b.Time
}
