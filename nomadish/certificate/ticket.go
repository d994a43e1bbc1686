package certificate

import (
	"crypto/rand"
	"encoding/base64"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Ticket is what somebody is given who is to join a cluster: one short text that names the
// cluster's authority, so that nobody can pose as the cluster, and holds a secret that lets in.
type Ticket struct {
	Role      Role
	Authority [32]byte // fingerprint
	ID        [16]byte // of the join token
	Secret    [32]byte
}

// ticketPrefix begins all tickets, so that they are recognised where they do not belong.
const ticketPrefix = "nomadish-join-"

// NewTicket makes a ticket with an ID and a secret of its own.
func NewTicket(role Role, authority [32]byte) (Ticket, error) {
	t := Ticket{Role: role, Authority: authority}
	id, err := nomadish.ParseID(nomadish.NewID())
	t.ID = id
	rand.Read(t.Secret[:]) // never fails: crypto/rand ends the program instead
	return t, err
}

// Text is what is passed on.
func (t Ticket) Text() nomadish.SecretText {
	b := make([]byte, 0, len(t.Authority)+len(t.ID)+len(t.Secret))
	b = append(append(append(b, t.Authority[:]...), t.ID[:]...), t.Secret[:]...)
	return nomadish.SecretText(ticketPrefix + string(t.Role) + "-" + base64.RawURLEncoding.EncodeToString(b))
}

// TokenID is the ID of the join token.
func (t Ticket) TokenID() string { return nomadish.FormatID(t.ID) }

// ParseTicket reads what Text has written. What it can't read it does not show.
func ParseTicket(text nomadish.SecretText) (Ticket, error) {
	var t Ticket
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text.Reveal()), ticketPrefix)
	if !ok {
		return t, nomadish.Errorf(nomadish.KindInvalid, "a join token begins with %q: pass all of what \"nomadish join-token create\" has printed", ticketPrefix)
	}
	role, encoded, ok := strings.Cut(encoded, "-")
	t.Role = Role(role)
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || t.Role != Server && t.Role != Client || err != nil || len(b) != len(t.Authority)+len(t.ID)+len(t.Secret) {
		return Ticket{}, nomadish.Errorf(nomadish.KindInvalid, "the join token is cut off or changed: pass all of what \"nomadish join-token create\" has printed")
	}
	copy(t.Authority[:], b)
	copy(t.ID[:], b[len(t.Authority):])
	copy(t.Secret[:], b[len(t.Authority)+len(t.ID):])
	return t, nil
}
