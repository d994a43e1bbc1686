// Package api is the Go client of the HTTP API, typed with the nouns of package nomadish.
//
//	c, err := api.New(api.FromEnvironment(os.LookupEnv))
//	jobs, meta, err := c.Jobs().List(ctx, nil)
//
// Lists and reads take a [Query], which may be nil, and return what the answer's headers
// say as [Meta]. An answer that is no success comes back as an [*Error], whose kind
// nomadish.KindOf knows. Methods may be called concurrently.
package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

// Client makes requests to one agent, which passes them on to where they belong.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

// New returns a client. It connects with the first request.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	rt := cfg.Transport
	if rt == nil {
		if rt, err = cfg.dial(); err != nil {
			return nil, err
		}
	}
	if len(cfg.Others) > 0 {
		agents, err := cfg.agents(base)
		if err != nil {
			return nil, err
		}
		rt = &failover{next: rt, agents: agents}
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{Transport: rt}}, nil
}

// Close ends connections that wait for a next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Query says what a read should give. The zero value, and nil, are for the defaults of
// the client's configuration.
type Query struct {
	Region    string
	Namespace string // "*": all, for lists
	Stale     bool   // any server may answer with what it knows
	MinIndex  uint64 // wait until the index is past this one; 0: don't
	Wait      time.Duration
	Prefix    string
	Filter    string
	PerPage   int
	NextToken string
	Reverse   bool
	Params    map[string]string // those of the route
}

// Meta is what the headers of an answer say.
type Meta struct {
	Index       uint64
	KnownLeader bool
	LastContact time.Duration
	NextToken   string // of the next page; empty: there is none
}

// Error is an answer that is no success.
type Error struct {
	StatusCode int
	Body       string
}

func (e *Error) Error() string {
	if e.Body == "" {
		return fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode))
	}
	return fmt.Sprintf("%s (%d)", e.Body, e.StatusCode)
}

// Unwrap gives the error that the server's handler may have returned, so that errors.Is
// and nomadish.KindOf work across the wire.
func (e *Error) Unwrap() error {
	kind := nomadish.KindInternal
	switch e.StatusCode {
	case http.StatusBadRequest:
		kind = nomadish.KindInvalid
	case http.StatusForbidden:
		kind = nomadish.KindDenied
	case http.StatusNotFound:
		kind = nomadish.KindNotFound
	case http.StatusConflict:
		kind = nomadish.KindConflict
	case http.StatusRequestEntityTooLarge:
		kind = nomadish.KindTooLarge
	case http.StatusTooManyRequests:
		kind = nomadish.KindLimited
	case http.StatusServiceUnavailable:
		kind = nomadish.KindNoLeader
	case http.StatusInsufficientStorage:
		kind = nomadish.KindNoSpace
	}
	return &nomadish.Error{Kind: kind, Message: e.Body}
}

// Bounds of what is read of an answer.
const (
	bodyMax     = 512 << 20
	errorMax    = 64 << 10
	conflictMax = 1 << 20 // of a conflict's answer that shows what is there
)

// answerLimits bound JSON that comes from our own servers: its size is known. There are
// nulls in its maps, such as the lifecycle of a task that has none.
var answerLimits = nomadish.JSONLimits{Keys: -1, Memory: -1, Nulls: true}

// call is one request.
type call struct {
	method string
	path   string // escaped
	query  *Query
	params url.Values
	in     any  // body; nil: none; an io.Reader is sent as it is
	out    any  // pointer to the answer's body; nil: ignored
	binary bool // bodies are in the binary encoding
	header http.Header
	// conflict makes an error of the body that comes with a conflict, which is no message; nil:
	// it is one.
	conflict func(body []byte) error
}

// do makes a call and decodes its answer.
func (c *Client) do(ctx context.Context, k call) (Meta, error) {
	resp, err := c.send(ctx, k)
	if err != nil {
		return Meta{}, err
	}
	defer resp.Body.Close()
	meta := metaOf(resp.Header)
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyMax+1))
	if err != nil {
		return meta, fmt.Errorf("%s %s: read the answer: %w", k.method, k.path, err)
	}
	if len(body) > bodyMax {
		return meta, fmt.Errorf("%s %s: the answer is larger than %d bytes", k.method, k.path, bodyMax)
	}
	if k.out == nil {
		return meta, nil
	}
	if d, ok := k.out.(codec.Decoder); ok && resp.Header.Get("Content-Type") == nomadish.BinaryMediaType {
		err = codec.Unmarshal(body, d)
	} else {
		err = answerLimits.Decode(body, k.out)
	}
	if err != nil {
		return meta, fmt.Errorf("%s %s: decode the answer: %w", k.method, k.path, err)
	}
	return meta, nil
}

// send makes a call and returns its answer if that is a success.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.method, k.path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err // it names method and address
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusConflict && k.conflict != nil {
		body, err := io.ReadAll(io.LimitReader(resp.Body, conflictMax))
		return nil, errors.Join(k.conflict(body), err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, errorMax))
	return nil, errors.Join(&Error{StatusCode: resp.StatusCode, Body: string(body)}, err)
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	body, contentType, err := k.body()
	if err != nil {
		return nil, err
	}
	u := *c.base
	target, err := u.Parse(k.path)
	if err != nil {
		return nil, err
	}
	target.RawQuery = c.values(k).Encode()
	req, err := http.NewRequestWithContext(ctx, k.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, k.header)
	if k.binary {
		req.Header.Set("Accept", nomadish.BinaryMediaType)
	}
	if c.cfg.Token != "" {
		req.Header.Set("X-Nomad-Token", c.cfg.Token.Reveal())
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if k.method != http.MethodGet && c.cfg.NodeID == "" { // what nodes say may be said twice
		req.Header.Set(nomadish.RequestIDHeader, nomadish.NewID())
	}
	if c.cfg.NodeID != "" {
		req.Header.Set("X-Nomadish-Node-Id", c.cfg.NodeID)
		req.Header.Set("X-Nomadish-Node-Secret", c.cfg.NodeSecret.Reveal())
	}
	return req, nil
}

// body encodes the body. No body has no content type.
func (k call) body() (io.Reader, string, error) {
	if k.in == nil {
		return http.NoBody, "", nil
	}
	if e, ok := k.in.(codec.Appender); ok && k.binary {
		return bytes.NewReader(codec.Marshal(e)), nomadish.BinaryMediaType, nil
	}
	if r, ok := k.in.(io.Reader); ok {
		return r, "application/octet-stream", nil
	}
	b, err := nomadish.EncodeJSON(k.in)
	return bytes.NewReader(b), "application/json", err
}

// values makes the query string of a call.
func (c *Client) values(k call) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	q := k.query
	if q == nil {
		q = &Query{}
	}
	set("region", first(q.Region, c.cfg.Region))
	set("namespace", first(q.Namespace, c.cfg.Namespace))
	set("prefix", q.Prefix)
	set("filter", q.Filter)
	set("next_token", q.NextToken)
	if q.Stale {
		v.Set("stale", "true")
	}
	if q.MinIndex != 0 {
		v.Set("index", strconv.FormatUint(q.MinIndex, 10))
	}
	if q.Wait != 0 {
		v.Set("wait", q.Wait.String())
	}
	if q.PerPage != 0 {
		v.Set("per_page", strconv.Itoa(q.PerPage))
	}
	if q.Reverse {
		v.Set("reverse", "true")
	}
	for name, value := range q.Params {
		v.Set(name, value)
	}
	for name, values := range k.params {
		v[name] = values
	}
	return v
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// metaOf reads the headers; what is missing stays zero.
func metaOf(h http.Header) Meta {
	m := Meta{KnownLeader: h.Get("X-Nomad-KnownLeader") == "true", NextToken: h.Get("X-Nomad-NextToken")}
	m.Index, _ = strconv.ParseUint(h.Get("X-Nomad-Index"), 10, 64)
	ms, _ := strconv.ParseInt(h.Get("X-Nomad-LastContact"), 10, 64)
	m.LastContact = time.Duration(ms) * time.Millisecond
	return m
}

// get reads a T.
func get[T any](ctx context.Context, c *Client, path string, q *Query) (T, Meta, error) {
	var out T
	meta, err := c.do(ctx, call{method: http.MethodGet, path: path, query: q, out: &out})
	return out, meta, err
}

// put writes in and reads a T.
func put[T any](ctx context.Context, c *Client, path string, params url.Values, in any) (T, error) {
	var out T
	_, err := c.do(ctx, call{method: http.MethodPut, path: path, params: params, in: in, out: &out})
	return out, err
}

// id escapes an ID for a path.
func id(s string) string { return url.PathEscape(s) }
