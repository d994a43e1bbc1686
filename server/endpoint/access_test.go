package endpoint_test

import (
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

// Who somebody is: a server by its connection, a node by its secret whatever the connection,
// and everybody else may do everything as long as there are no policies.
func TestAuthenticate(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	known, unknown := nodeID(0), nodeID(9)
	for _, tt := range []struct {
		name  string
		creds nomadish.Credentials
		want  nomadish.Caller
		deny  bool
	}{
		{"nobody in particular", nomadish.Credentials{Addr: "a"}, nomadish.Caller{Kind: nomadish.CallerManagement, Addr: "a"}, false},
		{"a token", nomadish.Credentials{Token: "x"}, nomadish.Caller{Kind: nomadish.CallerManagement}, false},
		{"server", nomadish.Credentials{PeerKind: nomadish.CallerServer, PeerID: "s1"}, nomadish.Caller{Kind: nomadish.CallerServer, ID: "s1"}, false},
		{"node", nomadish.Credentials{NodeID: known, NodeSecret: "secret0"}, nomadish.Caller{Kind: nomadish.CallerNode, ID: known}, false},
		{
			"node on its connection",
			nomadish.Credentials{PeerKind: nomadish.CallerNode, PeerID: known, NodeID: known, NodeSecret: "secret0"},
			nomadish.Caller{Kind: nomadish.CallerNode, ID: known},
			false,
		},
		{"user of a node's agent", nomadish.Credentials{PeerKind: nomadish.CallerNode, PeerID: known}, nomadish.Caller{Kind: nomadish.CallerManagement}, false},
		{"node that is to register", nomadish.Credentials{NodeID: unknown, NodeSecret: "x"}, nomadish.Caller{Kind: nomadish.CallerNode, ID: unknown}, false},
		{"wrong secret", nomadish.Credentials{NodeID: known, NodeSecret: "secret1"}, nomadish.Caller{}, true},
		{"no secret", nomadish.Credentials{NodeID: known}, nomadish.Caller{}, true},
		{"wrong secret on the node's connection", nomadish.Credentials{PeerKind: nomadish.CallerNode, PeerID: known, NodeID: known}, nomadish.Caller{}, true},
		{"another's connection", nomadish.Credentials{PeerKind: nomadish.CallerNode, PeerID: unknown, NodeID: known, NodeSecret: "secret0"}, nomadish.Caller{}, true},
	} {
		got, err := w.Authenticate(t.Context(), tt.creds)
		if tt.deny {
			wantKind(t, err, nomadish.KindDenied, "Permission denied")
		} else if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
