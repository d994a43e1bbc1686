package network

import (
	"context"
	"slices"
)

// equalPlugins is the release of the CNI plugins whose work the manager does itself. Jobs
// with a bridge network constrain on these plugins' versions.
const equalPlugins = "1.9.1"

// replaced are the plugins that nobody needs to install for a bridge network.
var replaced = []string{"bridge", "firewall", "host-local", "loopback", "portmap"}

// Offer says which networks the node offers: bridge, and those of the CNI configuration
// whose plugins are all there.
func (m *Manager) Offer(ctx context.Context) (*Offer, error) {
	installed := m.versions(ctx)
	o := &Offer{Modes: []string{ModeBridge}, Attributes: map[string]string{}}
	for _, name := range replaced {
		o.Attributes["plugins.cni.version."+name] = equalPlugins
	}
	for name, version := range installed {
		o.Attributes["plugins.cni.version."+name] = version
	}
	all, err := m.networks()
	if err != nil {
		return o, err
	}
	for _, n := range all {
		if i := slices.IndexFunc(n.plugins, func(p string) bool { return installed[p] == "" }); i >= 0 {
			m.log.Warn("a CNI network is not offered: a plugin is missing", "network", n.name, "plugin", n.plugins[i])
			continue
		}
		o.Modes = append(o.Modes, ModeCNI+n.name)
	}
	slices.Sort(o.Modes[1:])
	return o, nil
}
