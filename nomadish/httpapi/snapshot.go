package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Snapshots saves and restores the whole state.
type Snapshots interface {
	// SaveSnapshot returns what writes this server's state to a file, the same bytes each
	// time, and the state's index.
	SaveSnapshot(ctx context.Context) (write func(io.Writer) error, index uint64, err error)
	// RestoreSnapshot replaces the state of all servers, after it has checked all of in. The recovery key is
	// that of the saved cluster; empty: its wrapping key is there.
	RestoreSnapshot(ctx context.Context, in io.Reader, recoveryKey nomadish.SecretText) (index uint64, err error)
	// SavedSnapshots lists the files in which this server has saved the state by itself.
	SavedSnapshots(ctx context.Context) (*nomadish.SavedSnapshots, error)
	// State writes this server's state, for another server.
	State(ctx context.Context, w io.Writer) error
}

// bodySnapshot is the largest file that is restored.
const bodySnapshot = 16 << 30

// saveSnapshot writes the file twice: the header has to say its checksum before the body begins, and
// the file may be larger than memory.
func (a *API) saveSnapshot(r *Request) (any, error) {
	write, err := Blocking(r, func(ctx context.Context, _ memdb.WatchSet) (func(io.Writer) error, uint64, error) {
		return a.back.Server.Snapshots.SaveSnapshot(ctx)
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	if err := write(present{r, sum}); err != nil {
		return nil, err
	}
	r.digest = "sha-256=" + base64.StdEncoding.EncodeToString(sum.Sum(nil))
	return Streamed{ContentType: "application/octet-stream", Write: func(w io.Writer) error { return write(present{r, w}) }}, nil
}

// present stops what writes for somebody who is gone.
type present struct {
	r *Request
	w io.Writer
}

func (p present) Write(b []byte) (int, error) {
	if err := p.r.Context().Err(); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

func (a *API) savedSnapshots(r *Request) (any, error) {
	if a.back.Server == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "this agent is no server: name one with server_id")
	}
	return a.back.Server.Snapshots.SavedSnapshots(r.Context())
}

// serverState gives another server this one's state.
func (a *API) serverState(r *Request) (any, error) {
	return Streamed{ContentType: "application/octet-stream", Write: func(w io.Writer) error {
		return a.back.Server.Snapshots.State(r.Context(), present{r, w})
	}}, nil
}

func (a *API) restoreSnapshot(r *Request) (any, error) {
	defer r.control.SetReadDeadline(time.Time{}) //nolint:errcheck // the connection is gone, then
	index, err := a.back.Server.Snapshots.RestoreSnapshot(r.Context(), pieces{r}, nomadish.SecretText(r.HTTP.Header.Get(nomadish.HeaderRecoveryKey)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, r.tooLarge()
	case err != nil:
		return nil, err
	}
	r.SetIndex(index)
	return nil, nil
}
