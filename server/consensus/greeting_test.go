package consensus

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A server listens to those of its own cluster: to its peers, and to those that name the same cluster.
func TestWhoIsListenedTo(t *testing.T) {
	for name, tt := range map[string]struct {
		own                     string // the cluster of the server that listens
		to, from, cluster, want string
	}{
		"a peer":                              {"one", "s1", "s2", "one", ""},
		"a new leader that is not known yet":  {"one", "s1", "s9", "one", ""},
		"another cluster's":                   {"one", "s1", "s9", "two", `server "s9" is of cluster "two"`},
		"one that begins a cluster":           {"one", "s1", "s9", "", `server "s9" is of cluster ""`},
		"a peer whose state was replaced":     {"one", "s1", "s2", "two/1049000", ""},
		"a peer that lacks the first term":    {"one", "s1", "s2", "", ""},
		"anybody, by a server without one":    {"", "s1", "s9", "two", ""},
		"one that looks for another server":   {"one", "s3", "s2", "one", `for server "s3", this is "s1"`},
		"the same, by a server without state": {"", "s3", "s2", "one", `for server "s3", this is "s1"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreams(nil, "s1", func() string { return tt.own }, func(id string) bool { return id == "s2" })
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			sent := make(chan error, 1)
			go func() { sent <- greet(theirs, time.Second, tt.to, tt.from, tt.cluster) }()
			err := (&stream{Conn: ours, set: s}).readGreeting()
			if sendErr := <-sent; sendErr != nil {
				t.Fatal(sendErr)
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
