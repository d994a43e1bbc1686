package transport

import (
	"net/http"
	"strings"
	"testing"
)

func regionHub(t *testing.T, kind, id, region, listen string, h http.Handler) *Hub {
	t.Helper()
	hub, err := NewHub(HubConfig{Self: Hello{Kind: kind, ID: id, Region: region}, Listen: listen}, h)
	if err != nil {
		t.Fatal(err)
	}
	run(t, hub.Run)
	return hub
}

// A server of another region has no rights here, and can give nobody any: whatever it says of
// where a request comes from, the request is nobody's but its token's. What it asks on a session
// that was dialled from here counts the same.
func TestServersOfOtherRegions(t *testing.T) {
	here := regionHub(t, "server", "s1", "eu", "127.0.0.1:0", whoami)
	there := regionHub(t, "server", "s2", "us", "127.0.0.1:0", whoami)
	nameless := regionHub(t, "server", "s3", "", "", whoami)
	forged := []string{headerOriginKind, "server", headerOriginID, "s1", headerHops, "2"}
	expect(t, there.Dial(here.Addr().String()), "anonymous  hops=2 deadline=false", forged...)
	expect(t, there.Dial(here.Addr().String()), "anonymous  hops=1 deadline=false")
	expect(t, nameless.Dial(here.Addr().String()), "anonymous  hops=1 deadline=false")
	back, err := here.Server("s2") // the session that the other region's server dialled
	if err != nil {
		t.Fatal(err)
	}
	expect(t, back, "anonymous  hops=1 deadline=false")
}

// A node can't be one of servers of another region.
func TestNodeOfAnotherRegion(t *testing.T) {
	here := regionHub(t, "server", "s1", "eu", "127.0.0.1:0", whoami)
	node := regionHub(t, "node", "n1", "us", "", whoami)
	if _, err := ask(t, node.Dial(here.Addr().String())); err == nil || !strings.Contains(err.Error(), `node of region "us": servers here are of region "eu"`) {
		t.Errorf("got %v", err)
	}
}
