//go:build linux

package e2e

import (
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// halfRequest is a request whose header never ends.
const halfRequest = "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: "

// crowdMemory is how much an agent may grow while thousands of strangers are connected.
const crowdMemory = 100 << 20

// Connections that say nothing, or half of something, are closed, on every port and however
// many there are; others are answered meanwhile, and the agent's memory is bounded.
func TestCrowdsAreSentAway(t *testing.T) {
	peer, err := shared.Peer()
	must(t, err)
	for _, tt := range []struct {
		name, addr      string
		addresses, each int
		greeting        string
	}{
		{"half-open requests", shared.Addr, 40, 100, halfRequest},
		{"idle on the API's port", shared.Addr, 10, 100, ""},
		{"idle on the servers' port", peer, 10, 100, ""},
		{"half a greeting on the servers' port", peer, 10, 100, "no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := testContext(t)
			before, err := machine.RSS(shared.PID())
			must(t, err)
			crowd, err := machine.Gather(ctx, tt.addr, tt.addresses, tt.each, tt.greeting)
			must(t, err)
			t.Cleanup(func() { must(t, crowd.Close()) })
			if _, _, err := shared.API.Jobs().List(ctx, nil); err != nil {
				t.Errorf("another caller: %v", err)
			}
			after, err := machine.RSS(shared.PID())
			must(t, err)
			if after-before > crowdMemory {
				t.Errorf("memory grew by %d bytes for %d connections, want at most %d", after-before, crowd.Len(), crowdMemory)
			}
			must(t, crowd.Dispersed(ctx))
		})
	}
}
