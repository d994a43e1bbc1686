package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Events are the routes of what changes.
type Events struct{ c *Client }

// Events returns the routes of what changes.
func (c *Client) Events() Events { return Events{c} }

// maxEventLine bounds what one command changed.
const maxEventLine = 64 << 20

// Stream yields what changes, one command at a time; Allowed and Check of the request are
// the server's matter. The loop over it ends the stream; an error is the last thing that it
// yields. When the server ends, the stream ends without one.
func (e Events) Stream(ctx context.Context, req *nomadish.EventRequest) iter.Seq2[*nomadish.Events, error] {
	return func(yield func(*nomadish.Events, error) bool) {
		for line, err := range e.Lines(ctx, req) {
			if err != nil {
				yield(nil, err)
				return
			}
			events := &nomadish.Events{}
			if err := answerLimits.Decode(line, events); err != nil {
				yield(nil, fmt.Errorf("GET /v1/event/stream: decode: %w", err))
				return
			}
			if events.Error != "" {
				yield(nil, &Error{StatusCode: http.StatusTooManyRequests, Body: events.Error})
				return
			}
			if len(events.Events) > 0 && !yield(events, nil) {
				return
			}
		}
	}
}

// Lines yields the lines of JSON that Stream decodes, heartbeats ("{}") among them. A line
// holds until the next.
func (e Events) Lines(ctx context.Context, req *nomadish.EventRequest) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		resp, err := e.c.send(ctx, call{
			method: http.MethodGet, path: "/v1/event/stream", query: &Query{Namespace: req.Namespace}, params: eventParams(req),
		})
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxEventLine)
		for lines.Scan() {
			if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 && !yield(line, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("GET /v1/event/stream: read: %w", err))
		}
	}
}

func eventParams(req *nomadish.EventRequest) url.Values {
	params := url.Values{}
	for _, t := range req.Topics {
		topic := t.Topic
		if t.Key != "" && t.Key != "*" {
			topic += ":" + t.Key
		}
		params.Add("topic", topic)
	}
	if !req.FromNow {
		params.Set("index", strconv.FormatUint(req.Index, 10))
	}
	if req.Once {
		params.Set("follow", "false")
	}
	return params
}

// SearchPrefix finds the things whose ID or name begins with a prefix: in a context such as
// jobs, or "all".
func (c *Client) SearchPrefix(ctx context.Context, prefix, context string) (*nomadish.SearchResponse, error) {
	return put[*nomadish.SearchResponse](ctx, c, "/v1/search", nil, &nomadish.SearchRequest{Prefix: prefix, Context: context})
}

// SearchFuzzy finds the things whose name holds a text: in a context such as jobs, or "all".
func (c *Client) SearchFuzzy(ctx context.Context, text, context string) (*nomadish.FuzzySearchResponse, error) {
	return put[*nomadish.FuzzySearchResponse](ctx, c, "/v1/search/fuzzy", nil, &nomadish.FuzzySearchRequest{Text: text, Context: context})
}

// Raw makes a request of any kind: path may have a query. The answer is returned as it is,
// whatever its status; the caller closes its body.
func (c *Client) Raw(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	target, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	if target.IsAbs() || target.Host != "" {
		return nil, errors.New("want a path, such as /v1/jobs, not a whole URL")
	}
	req, err := c.request(ctx, call{method: method, path: target.EscapedPath(), params: target.Query()})
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Body = io.NopCloser(body)
		req.ContentLength = -1
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return c.http.Do(req)
}
