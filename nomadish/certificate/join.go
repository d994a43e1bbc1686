package certificate

import (
	"encoding/json"
	"io"

	"github.com/nomadish/nomadish/nomadish"
)

// maxJoin bounds what somebody says who joins.
const maxJoin = 32 << 10

// DecodeJoin reads what somebody says who has no certificate yet, and refuses what can't be meant.
// The key of its request is proven to be its own.
func DecodeJoin(r io.Reader) (*nomadish.EnrollRequest, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxJoin+1))
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "join request: %w", err)
	}
	if len(text) > maxJoin {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "join request: more than %d bytes", maxJoin)
	}
	req := &nomadish.EnrollRequest{}
	if err := json.Unmarshal(text, req); err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "join request: it is no JSON that is understood")
	}
	req.Addr = ""
	if err := (Identity{Role: Role(req.Role), Region: nomadish.DefaultRegion, ID: req.ID}).check(); err != nil {
		return nil, err
	}
	if req.ID == "" || len(req.Name) > maxHost {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "join request: there must be an ID, and a name of at most %d bytes", maxHost)
	}
	if _, err := ParseRequest(req.Request); err != nil {
		return nil, err
	}
	return req, nil
}
