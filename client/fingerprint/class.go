package fingerprint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// ComputedClass is equal for nodes that no constraint can tell apart, but by attributes
// and meta values that say with their name that they are unique to a node.
func ComputedClass(n *nomadish.Node) string {
	h := sha256.New()
	write := func(parts ...string) {
		for _, s := range parts {
			h.Write(binary.AppendUvarint(nil, uint64(len(s))))
			h.Write([]byte(s))
		}
	}
	write(n.Datacenter, n.NodePool, n.NodeClass)
	for _, m := range []map[string]string{n.Attributes, n.Meta} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !strings.HasPrefix(name, "unique.") {
				write(name, m[name])
			}
		}
		write("")
	}
	for _, name := range slices.Sorted(maps.Keys(n.Drivers)) {
		d := n.Drivers[name]
		if d.Detected && d.Healthy {
			write(name)
		}
	}
	write("")
	for _, name := range slices.Sorted(maps.Keys(n.HostVolumes)) {
		write(name)
	}
	return "v1:" + hex.EncodeToString(h.Sum(nil)[:10])
}
