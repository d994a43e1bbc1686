package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

// ErrDigest says that an answer is not what its Digest header says.
var ErrDigest = errors.New("what came differs from the checksum that was announced")

// Snapshot returns the whole state as a file, which the caller closes. It is whole when it was read to
// io.EOF.
func (o Operator) Snapshot(ctx context.Context, q *Query) (io.ReadCloser, error) {
	resp, err := o.c.send(ctx, call{method: http.MethodGet, path: "/v1/operator/snapshot", query: q}) //nolint:bodyclose // digested does
	if err != nil {
		return nil, err
	}
	return &digested{body: resp.Body, sum: sha256.New(), want: resp.Header.Get("Digest")}, nil
}

// SavedSnapshots lists the files in which a server saves the state by itself: the one that is asked, or
// with a query's parameter server_id another.
func (o Operator) SavedSnapshots(ctx context.Context, q *Query) (*nomadish.SavedSnapshots, error) {
	out, _, err := get[*nomadish.SavedSnapshots](ctx, o.c, "/v1/operator/snapshots", q)
	return out, err
}

// ServerState returns a server's state as a file, which the caller closes. Servers alone may ask.
func (o Operator) ServerState(ctx context.Context) (io.ReadCloser, error) {
	resp, err := o.c.send(ctx, call{method: http.MethodGet, path: "/v1/internal/state"})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// RestoreSnapshot replaces the whole state by one that Snapshot gave. Servers that lack the wrapping key of
// the cluster that was saved need its recovery key; else that may be empty.
func (o Operator) RestoreSnapshot(ctx context.Context, in io.Reader, recoveryKey nomadish.SecretText) error {
	header := http.Header{}
	if recoveryKey != "" {
		header.Set(nomadish.HeaderRecoveryKey, recoveryKey.Reveal())
	}
	_, err := o.c.do(ctx, call{method: http.MethodPut, path: "/v1/operator/snapshot", in: in, header: header})
	return err
}

// digested checks at its end that a body is what was announced.
type digested struct {
	body io.ReadCloser
	sum  hash.Hash
	want string
}

func (d *digested) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	d.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := "sha-256=" + base64.StdEncoding.EncodeToString(d.sum.Sum(nil)); got != d.want {
			return n, fmt.Errorf("%w: %s, not %s", ErrDigest, got, d.want)
		}
	}
	return n, err
}

func (d *digested) Close() error { return d.body.Close() }
