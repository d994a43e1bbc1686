//go:build linux

package container

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/cap"
)

// DefaultCaps are the capabilities that containers have in Docker and Nomad, and that their
// tasks may add again after dropping all.
func DefaultCaps() []string {
	return []string{
		"audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod",
		"net_bind_service", "setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
	}
}

// Capabilities starts from what a driver's tasks have, takes away, then adds, and returns
// CAP_ names in order. Only what is allowed can be added. "all" stands for every capability,
// or every one that is allowed.
func Capabilities(have, drop, add, allowed []string) ([]string, error) {
	set := map[string]bool{}
	if !hasAll(drop) {
		for _, name := range have {
			set[capName(name)] = true
		}
	}
	for _, name := range drop {
		delete(set, capName(name))
	}
	known := map[string]bool{}
	for _, name := range cap.Known() {
		known[name] = true
	}
	if hasAll(add) {
		add = allowed
		if hasAll(allowed) {
			add = cap.Known()
		}
	}
	may := map[string]bool{}
	for _, name := range allowed {
		may[capName(name)] = true
	}
	var refused []string
	for _, name := range add {
		name = capName(name)
		if !known[name] || !may[name] && !hasAll(allowed) {
			refused = append(refused, strings.ToLower(strings.TrimPrefix(name, "CAP_")))
		}
		set[name] = true
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		return nil, fmt.Errorf("cap_add: this node does not allow %s", strings.Join(refused, ", "))
	}
	return slices.Sorted(maps.Keys(set)), nil
}

func hasAll(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, "all") })
}

func capName(name string) string {
	name = strings.ToUpper(name)
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	return name
}
