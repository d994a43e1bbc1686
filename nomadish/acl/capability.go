package acl

import (
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// caps is a set of a subject's capabilities, a bit for each.
type caps uint64

// denied is in a set that gives nothing, whatever else is in it.
const denied caps = 1 << 63

// someVariables is in the set of a namespace that has variables which are not denied.
const someVariables caps = 1 << 62

func (c caps) has(want caps) bool { return c&denied == 0 && c&want != 0 }

func (c caps) unlessDenied() caps {
	if c&denied != 0 {
		return 0
	}
	return c
}

// subject is a kind of things that rules are about. Its name is that of the rules' blocks, and
// the first half of the permissions that they give.
type subject struct {
	name string
	// capabilities are what rules may list, each with those that it includes.
	capabilities map[string][]string
	policies     map[string][]string // short names for several capabilities
	listed       bool                // rules may list capabilities
	own, bits    map[string]caps     // of a capability alone, and with all that it includes
}

// Names of subjects.
const (
	aNamespace  = "namespace"
	aVariable   = "variables"
	aNodePool   = "node_pool"
	aHostVolume = "host_volume"
	anAgent     = "agent"
	aNode       = "node"
	anOperator  = "operator"
	aQuota      = "quota"
	aPlugin     = "plugin"
)

const deny = "deny"

// ofJob are the parts of submit-job, which can be given one by one.
var ofJob = []string{
	"register-job", "revert-job", "deregister-job", "purge-job", "evaluate-job", "plan-job", "tag-job-version", "stable-job",
	"fail-deployment", "pause-deployment", "promote-deployment", "unblock-deployment", "cancel-deployment", "set-alloc-health-deployment",
	"force-periodic-job", "gc-allocation", "pause-allocation", "delete-service-registration",
	"parse-job", "scale-job",
}

// subjects lists all that can be given.
var subjects = compiled(map[string]*subject{
	aNamespace: {
		listed: true,
		capabilities: map[string][]string{
			"list-jobs": {"csi-list-volume"}, "parse-job": nil, "read-job": {"csi-read-volume", "read-job-scaling", "read-services"},
			"submit-job": ofJob, "dispatch-job": {"force-periodic-job"},
			"register-job": nil, "revert-job": nil, "deregister-job": nil, "purge-job": {"deregister-job"}, "evaluate-job": nil, "plan-job": nil,
			"tag-job-version": nil, "stable-job": nil, "force-periodic-job": nil, "gc-allocation": nil, "pause-allocation": nil,
			"fail-deployment": nil, "pause-deployment": nil, "promote-deployment": nil, "unblock-deployment": nil, "cancel-deployment": nil,
			"set-alloc-health-deployment": nil, "delete-service-registration": nil, "read-services": nil,
			"read-logs": nil, "read-fs": {"read-logs"}, "alloc-exec": {"alloc-port-forward"}, "alloc-node-exec": nil,
			"alloc-port-forward": nil, "alloc-lifecycle": nil,
			"csi-register-plugin": nil, "csi-write-volume": {"csi-read-volume"}, "csi-read-volume": {"csi-list-volume"},
			"csi-list-volume": nil, "csi-mount-volume": {"csi-read-volume"},
			"host-volume-create": nil, "host-volume-register": nil, "host-volume-read": nil, "host-volume-delete": nil,
			"host-volume-write":     {"host-volume-create", "host-volume-register", "host-volume-read", "host-volume-delete"},
			"list-scaling-policies": nil, "read-scaling-policy": nil, "read-job-scaling": nil, "scale-job": nil,
			"submit-recommendation": nil, "sentinel-override": nil,
		},
		policies: map[string][]string{
			"read": {
				"list-jobs", "parse-job", "read-job", "csi-list-volume", "csi-read-volume",
				"list-scaling-policies", "read-scaling-policy", "read-job-scaling", "host-volume-read",
			},
			"write": {
				"list-jobs", "parse-job", "read-job", "submit-job", "dispatch-job", "read-logs", "read-fs", "alloc-exec", "alloc-lifecycle",
				"csi-write-volume", "csi-mount-volume", "list-scaling-policies", "read-scaling-policy", "read-job-scaling", "scale-job",
				"host-volume-write", "submit-recommendation",
			},
			"scale": {"list-scaling-policies", "read-scaling-policy", "read-job-scaling", "scale-job"},
		},
	},
	aVariable: {
		listed:       true,
		capabilities: map[string][]string{"list": nil, "read": {"list"}, "write": {"list"}, "destroy": nil},
	},
	aNodePool: {
		listed:       true,
		capabilities: map[string][]string{"read": nil, "write": nil, "delete": nil},
		policies:     map[string][]string{"read": {"read"}, "write": {"read", "write", "delete"}},
	},
	aHostVolume: {
		listed:       true,
		capabilities: map[string][]string{"mount-readonly": nil, "mount-readwrite": {"mount-readonly"}},
		policies:     map[string][]string{"read": {"mount-readonly"}, "write": {"mount-readwrite"}},
	},
	anAgent: coarse(),
	aNode:   coarse(),
	aQuota:  coarse(),
	anOperator: {
		listed: true,
		capabilities: map[string][]string{
			"read": {"license-read"}, "write": {"read"},
			"license-read": nil, "snapshot-save": nil, "keyring-read": nil, "keyring-rotate": nil, "keyring-delete": nil,
		},
		policies: map[string][]string{"read": {"read"}, "write": {"write"}},
	},
	aPlugin: {
		capabilities: map[string][]string{"list": nil, "read": {"list"}, "write": {"read"}},
		policies:     map[string][]string{"list": {"list"}, "read": {"read"}, "write": {"write"}},
	},
})

// coarse is a subject that one may read, or read and change.
func coarse() *subject {
	return &subject{
		capabilities: map[string][]string{"read": nil, "write": {"read"}},
		policies:     map[string][]string{"read": {"read"}, "write": {"write"}},
	}
}

// compiled gives every capability its bit, and what it includes.
func compiled(all map[string]*subject) map[string]*subject {
	for name, s := range all {
		s.name = name
		s.own = map[string]caps{}
		for i, c := range slices.Sorted(maps.Keys(s.capabilities)) {
			s.own[c] = 1 << i
		}
		var closure func(name string) caps
		closure = func(name string) caps {
			c := s.own[name]
			for _, included := range s.capabilities[name] {
				c |= closure(included)
			}
			return c
		}
		s.bits = map[string]caps{deny: denied}
		for c := range s.capabilities {
			s.bits[c] = closure(c)
		}
		if s.policies != nil {
			s.policies[deny] = []string{deny}
		}
	}
	return all
}

// right is a permission as the compiled rules know it.
type right struct {
	subject string
	bit     caps
}

// permissions are what rules can give.
var permissions = rights()

func rights() map[nomadish.Permission]right {
	all := map[nomadish.Permission]right{nomadish.PermNamespaceAny: {aNamespace, ^denied}}
	for name, s := range subjects {
		for c, bit := range s.own {
			all[nomadish.Permission(name+":"+c)] = right{name, bit}
		}
	}
	return all
}

// Permissions lists, in the order of their names, all permissions that rules can give.
func Permissions() []nomadish.Permission { return slices.Sorted(maps.Keys(permissions)) }
