package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// TableRevokedCertificates holds which certificates are refused before they end.
const TableRevokedCertificates = "revoked_certificates"

var revokedCertificates = newTable[nomadish.RevokedCertificate](54, TableRevokedCertificates,
	func(r *nomadish.RevokedCertificate) ([]byte, error) { return []byte(r.ID()), nil })

// RevokedCertificates lists what is revoked, by ID.
func (r Reader) RevokedCertificates(ws memdb.WatchSet) iter.Seq[*nomadish.RevokedCertificate] {
	return list(r, ws, revokedCertificates, indexID+withPrefix, nil)
}

// RevokedCertificate returns what is revoked under an ID.
func (r Reader) RevokedCertificate(ws memdb.WatchSet, id string) (*nomadish.RevokedCertificate, error) {
	if c, ok := first(r, ws, revokedCertificates, []byte(id)); ok && id != "" {
		return c, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "revoked certificate: %w", nomadish.ErrNotFound)
}

// AgentRevoked says whether certificates of an agent were revoked that it may still have.
func (r Reader) AgentRevoked(role, id string) bool {
	for c := range r.RevokedCertificates(nil) {
		if c.Role == role && c.AgentID == id {
			return true
		}
	}
	return false
}

// PutRevokedCertificate stores what is revoked.
func (w *Writer) PutRevokedCertificate(revoked *nomadish.RevokedCertificate) error {
	c := *revoked
	var created uint64
	if old, err := w.RevokedCertificate(nil, c.ID()); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&c.CreateIndex, &c.ModifyIndex, created)
	return put(w.txn, revokedCertificates, &c)
}

// DeleteRevokedCertificate forgets what was revoked.
func (w *Writer) DeleteRevokedCertificate(id string) error {
	return remove(w.txn, revokedCertificates, []byte(id))
}
