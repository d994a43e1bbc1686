package httpapi

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// Query is what every route understands in its query string.
type Query struct {
	Region    string // default: the agent's
	Namespace string // default "default"; "*" is all, on lists
	Prefix    string
	Filter    string
	NextToken string
	PerPage   int
	Reverse   bool
	Stale     bool
	Pretty    bool
	MinIndex  uint64 // block until the index is past this one; 0: don't
	Wait      time.Duration
}

// Bounds of the query.
const (
	defaultNamespace = "default"
	waitDefault      = 5 * time.Minute
	waitMax          = 10 * time.Minute
	filterMax        = 8 << 10
	perPageMax       = 100_000
)

// parseQuery reads the options that routes share. Its messages are Nomad's where clients know them.
func parseQuery(v url.Values) (Query, error) {
	q := Query{
		Region:    v.Get("region"),
		Namespace: v.Get("namespace"),
		Prefix:    v.Get("prefix"),
		Filter:    v.Get("filter"),
		NextToken: v.Get("next_token"),
		Reverse:   v.Get("reverse") == "true",
		Pretty:    v.Has("pretty") && v.Get("pretty") != "0",
		Wait:      waitDefault,
	}
	if q.Namespace == "" {
		q.Namespace = defaultNamespace
	}
	var err error
	if q.Stale, err = boolParam(v, "stale", true); err != nil {
		return q, err
	}
	if s := v.Get("wait"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return q, nomadish.Errorf(nomadish.KindInvalid, "Invalid wait time")
		}
		q.Wait = min(d, waitMax)
	}
	if s := v.Get("index"); s != "" {
		if q.MinIndex, err = strconv.ParseUint(s, 10, 64); err != nil {
			return q, nomadish.Errorf(nomadish.KindInvalid, "Invalid index")
		}
	}
	if s := v.Get("per_page"); s != "" {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 0 {
			return q, nomadish.Errorf(nomadish.KindInvalid, "Invalid per_page %q: must be a number of at most %d", s, perPageMax)
		}
		q.PerPage = int(min(n, perPageMax))
	}
	if len(q.Filter) > filterMax {
		return q, nomadish.Errorf(nomadish.KindInvalid, "filter expression is %d bytes, at most %d are allowed", len(q.Filter), filterMax)
	}
	return q, nil
}

// boolParam reads an optional bool. A key without a value means bare.
func boolParam(v url.Values, name string, bare bool) (bool, error) {
	if !v.Has(name) {
		return false, nil
	}
	s := v.Get(name)
	if s == "" {
		return bare, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, nomadish.Errorf(nomadish.KindInvalid, "Invalid value %q of %s: must be true or false", s, name)
	}
	return b, nil
}

// credentials reads what a request brings to prove who makes it.
func credentials(r *http.Request) nomadish.Credentials {
	origin := transport.OriginFrom(r.Context())
	c := nomadish.Credentials{
		PeerKind:   origin.Kind,
		PeerID:     origin.ID,
		Token:      nomadish.SecretText(r.Header.Get(headerToken)),
		NodeID:     r.Header.Get(headerNodeID),
		NodeSecret: nomadish.SecretText(r.Header.Get(headerNodeSecret)),
		Addr:       cmp.Or(origin.Addr, r.RemoteAddr),
	}
	if c.Token == "" {
		c.Token = bearer(r.Header.Get("Authorization"))
	}
	return c
}

// bearer returns the secret of an Authorization header of that scheme.
func bearer(header string) nomadish.SecretText {
	const scheme = "bearer "
	if len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) {
		return nomadish.SecretText(header[len(scheme):])
	}
	return ""
}
