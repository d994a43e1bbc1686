package certificate

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Serial is a certificate's number in hex.
func Serial(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

// Issued is when an Authority has signed a certificate, to the second.
func Issued(c *x509.Certificate) time.Time { return c.NotBefore.Add(skew) }

// Revoked says which certificates are refused before they end. It is not changed once it is made.
type Revoked struct {
	agents  map[Identity]time.Time // of each agent those that were signed until then
	serials map[string]bool
}

// NewRevoked makes it of what the state of a region holds.
func NewRevoked(region string, rows []*nomadish.RevokedCertificate) *Revoked {
	r := &Revoked{agents: map[Identity]time.Time{}, serials: map[string]bool{}}
	for _, row := range rows {
		if row.Serial != "" {
			r.serials[row.Serial] = true
			continue
		}
		r.agents[Identity{Role(row.Role), strings.ToLower(region), row.AgentID}] = time.Unix(0, row.Time)
	}
	return r
}

// Check says why a certificate is refused; nil: it is not revoked.
func (r *Revoked) Check(c *x509.Certificate) error {
	if r == nil || len(r.serials) == 0 && len(r.agents) == 0 {
		return nil
	}
	if serial := Serial(c); r.serials[serial] {
		return nomadish.Errorf(nomadish.KindDenied, "certificate %s is revoked", serial)
	}
	names, err := ParseNames(c)
	if err != nil {
		return err
	}
	who := names.Agent
	who.Region = strings.ToLower(who.Region)
	until, ok := r.agents[who]
	if !ok || Issued(c).Unix() > until.Unix() {
		return nil
	}
	return nomadish.Errorf(nomadish.KindDenied, "the certificates of %s until %s are revoked", names.Agent.URI(), until.UTC().Format(time.RFC3339))
}

// revoked is the file with what was revoked when the agent was last told.
func (f Files) revoked() string { return filepath.Join(f.Dir, "revoked.json") }

// WriteRevoked stores what is revoked, for the time until the agent is told of it again.
func (f Files) WriteRevoked(rows []*nomadish.RevokedCertificate) error {
	text, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("revoked certificates: %w", err)
	}
	return f.write(f.revoked(), text)
}

// Revoked returns what WriteRevoked has stored.
func (f Files) Revoked() (rows []*nomadish.RevokedCertificate, err error) {
	text, err := os.ReadFile(f.revoked())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &rows)
	}
	if err != nil {
		return nil, fmt.Errorf("revoked certificates: %w", err)
	}
	return rows, nil
}
