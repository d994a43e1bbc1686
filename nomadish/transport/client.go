package transport

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Client makes requests over a session. It is what RoundTrippers to peers are made of;
// it holds no more than idle streams, which end with the session.
func Client(s Session) *http.Transport {
	return &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Open(ctx) },
		DisableCompression:    true, // what passes through stays as it is
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       20 * time.Second, // below the server's
		ExpectContinueTimeout: time.Second,
	}
}
