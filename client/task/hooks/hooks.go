// Package hooks prepares tasks for their start, one hook for each thing that they need.
package hooks

import (
	"time"

	"github.com/nomadish/nomadish/client/artifact"
	"github.com/nomadish/nomadish/client/task"
)

// Config is what the hooks work with.
type Config struct {
	Region       string
	CgroupParent string   // of the tasks' control groups
	Networks     Networks // for tasks of their own; nil: this node makes none
	Artifacts    *artifact.Fetcher
	Identities   Signer           // of tasks; nil: none can be had
	DeniedEnv    []string         // variables of the agent that no task gets, of the few that tasks get
	DeniedUsers  Users            // as whom no task may run
	Now          func() time.Time // wall clock; default time.Now
}

// All returns all hooks in their order: each finds done what those before it do.
func All(cfg Config) task.Pipeline {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return task.Pipeline{
		supported{},
		groupNetwork{},
		directories{},
		secrets{},
		environment{region: cfg.Region, cgroupParent: cfg.CgroupParent, denied: cfg.DeniedEnv},
		newIdentities(cfg.Identities, cfg.Now),
		interpolation{},
		forbidden{cfg.DeniedUsers},
		options{},
		ownNetwork{networks: cfg.Networks, region: cfg.Region},
		artifacts{fetcher: cfg.Artifacts},
		payload{},
		resources{cgroupParent: cfg.CgroupParent, groups: findGroups()},
		capture{},
	}
}
