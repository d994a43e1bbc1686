//go:build linux && corpus

package corpus

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// here are the drivers of the program.
var here = []string{"docker", "containerd", "containerd-driver", "exec", "raw_exec", "java", "qemu"}

// needsConsul begins what missing says of services in Consul.
const needsConsul = "Consul"

// ofConsul says that a service is registered in Consul.
func ofConsul(s *nomadish.Service) bool {
	return s.Connect == nil && (s.Provider == "" || s.Provider == "consul")
}

// missing lists what a job needs that is not part of the program, or not yet.
func missing(job *nomadish.Job) []string {
	var consul, connect, csi, drivers []string
	vault := false
	service := func(s *nomadish.Service) {
		if s.Connect != nil {
			connect = append(connect, s.Name)
		} else if ofConsul(s) {
			consul = append(consul, cmp.Or(s.Name, "unnamed"))
		}
	}
	for _, g := range job.TaskGroups {
		for _, s := range g.Services {
			service(s)
		}
		for _, v := range g.Volumes {
			if v.Type == "csi" {
				csi = append(csi, "volume "+v.Source)
			}
		}
	}
	for _, t := range job.AllTasks() {
		for _, s := range t.Services {
			service(s)
		}
		if t.CSIPluginConfig != nil {
			csi = append(csi, "plugin "+t.CSIPluginConfig.ID)
		}
		if !slices.Contains(here, t.Driver) {
			drivers = append(drivers, t.Driver)
		}
		vault = vault || t.Vault != nil
	}
	var out []string
	add := func(what string, list []string) {
		if len(list) > 0 {
			slices.Sort(list)
			out = append(out, what+" ("+strings.Join(slices.Compact(list), ", ")+")")
		}
	}
	add("driver", drivers)
	add("Connect", connect)
	add(needsConsul, consul)
	add("CSI", csi)
	if vault {
		out = append(out, "Vault")
	}
	return out
}
