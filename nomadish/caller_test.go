package nomadish_test

import (
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// What a permission allows to whom. Nodes and servers among themselves have routes that nobody
// else has; a node has nothing but those.
func TestCheck(t *testing.T) {
	const nobody, management, node, server = nomadish.CallerAnonymous, nomadish.CallerManagement, nomadish.CallerNode, nomadish.CallerServer
	for permission, allowed := range map[nomadish.Permission][]nomadish.CallerKind{
		"none":                 {nobody, management, node, server},
		"node":                 {node, server},
		"server":               {server},
		"management":           {management, server},
		"agent:read":           {management, server},
		"node:write":           {management, server},
		"operator:write":       {management, server},
		"namespace:submit-job": {management, server},
		"namespace:read-job":   {management, server},
		"":                     {management, server},
	} {
		may := map[nomadish.CallerKind]bool{}
		for _, kind := range allowed {
			may[kind] = true
		}
		for _, kind := range []nomadish.CallerKind{nobody, management, node, server, 99} {
			err := nomadish.Caller{Kind: kind}.Check(permission, "default", "")
			if allowed := err == nil; allowed != (may[kind] || permission == "none") {
				t.Errorf("%s for %s: %v", permission, kind, err)
			}
			if err != nil && (nomadish.KindOf(err) != nomadish.KindDenied || err.Error() != "Permission denied") {
				t.Errorf("%s for %s: %v", permission, kind, err)
			}
		}
	}
}
