package nomadish

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ComputeClass returns the node's computed class: a name that is equal for nodes that no
// constraint tells apart, but by unique.* attributes. Servers set ComputedClass to it when a
// node registers.
func (n *Node) ComputeClass() string {
	h := sha256.New()
	write := func(parts ...string) {
		for _, s := range parts {
			h.Write([]byte(strconv.Itoa(len(s)) + ":" + s)) // never fails
		}
	}
	write(n.Datacenter, n.NodeClass, n.NodePool)
	for _, table := range []map[string]string{n.Attributes, n.Meta} {
		for _, k := range slices.Sorted(maps.Keys(table)) {
			if !strings.HasPrefix(k, "unique.") {
				write(k, table[k])
			}
		}
		write("")
	}
	return "v1:" + hex.EncodeToString(h.Sum(nil)[:8])
}
