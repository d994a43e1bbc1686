package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Files are the routes of what is in the directories of allocations. The agent that is
// asked passes requests on to the allocation's node.
type Files struct{ c *Client }

// Files returns the routes of what is in the directories of allocations.
func (c *Client) Files() Files { return Files{c} }

// List lists a directory of an allocation.
func (f Files) List(ctx context.Context, allocID, path string) ([]*nomadish.AllocFileInfo, error) {
	var out []*nomadish.AllocFileInfo
	_, err := f.c.do(ctx, call{
		method: http.MethodGet, path: "/v1/client/fs/ls/" + id(allocID), params: url.Values{"path": {path}}, out: &out,
	})
	return out, err
}

// Stat describes a file or directory of an allocation.
func (f Files) Stat(ctx context.Context, allocID, path string) (*nomadish.AllocFileInfo, error) {
	var out *nomadish.AllocFileInfo
	_, err := f.c.do(ctx, call{
		method: http.MethodGet, path: "/v1/client/fs/stat/" + id(allocID), params: url.Values{"path": {path}}, out: &out,
	})
	return out, err
}

// Read returns a file's content from req.Offset, at most req.Limit bytes of it. The caller
// closes it.
func (f Files) Read(ctx context.Context, req *nomadish.FileRequest) (io.ReadCloser, error) {
	params := url.Values{"path": {req.Path}, "offset": {strconv.FormatInt(req.Offset, 10)}}
	if req.Limit > 0 {
		params.Set("limit", strconv.FormatInt(req.Limit, 10))
	}
	resp, err := f.c.send(ctx, call{method: http.MethodGet, path: "/v1/client/fs/readat/" + id(req.AllocID), params: params})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Stream yields the frames of a file, if req.Follow also those of what is written to it
// later. The loop over them ends the stream; an error is the last thing that it yields.
func (f Files) Stream(ctx context.Context, req *nomadish.FileRequest) iter.Seq2[*nomadish.StreamFrame, error] {
	return f.frames(ctx, "/v1/client/fs/stream/"+id(req.AllocID), url.Values{
		"path":   {req.Path},
		"offset": {strconv.FormatInt(req.Offset, 10)},
		"origin": {first(req.Origin, "start")},
		"follow": {strconv.FormatBool(req.Follow)},
	})
}

// Logs yields the frames of a task's output, as Stream does for a file.
func (f Files) Logs(ctx context.Context, req *nomadish.LogRequest) iter.Seq2[*nomadish.StreamFrame, error] {
	return f.frames(ctx, "/v1/client/fs/logs/"+id(req.AllocID), url.Values{
		"task":   {req.Task},
		"type":   {req.Type},
		"offset": {strconv.FormatInt(req.Offset, 10)},
		"origin": {first(req.Origin, "start")},
		"follow": {strconv.FormatBool(req.Follow)},
	})
}

func (f Files) frames(ctx context.Context, path string, params url.Values) iter.Seq2[*nomadish.StreamFrame, error] {
	return func(yield func(*nomadish.StreamFrame, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		resp, err := f.c.send(ctx, call{method: http.MethodGet, path: path, params: params})
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		for {
			frame := &nomadish.StreamFrame{}
			err := dec.Decode(frame)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, streamError(path, dec, resp.Body, err))
				return
			}
			if heartbeat(frame) {
				continue
			}
			if !yield(frame, nil) {
				return
			}
		}
	}
}

func heartbeat(f *nomadish.StreamFrame) bool {
	return len(f.Data) == 0 && f.File == "" && f.FileEvent == "" && f.Offset == 0
}

// streamError finds the text that a server writes into a stream that it can't go on with.
func streamError(path string, dec *json.Decoder, body io.Reader, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("GET %s: read stream: %w", path, err)
	}
	text, readErr := io.ReadAll(io.LimitReader(io.MultiReader(dec.Buffered(), body), errorMax))
	return errors.Join(&Error{StatusCode: http.StatusInternalServerError, Body: string(bytes.TrimSpace(text))}, readErr)
}
