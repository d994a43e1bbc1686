package agent

import (
	"maps"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/client/task/hooks"
)

// Options of a client (client.options) that have an effect. The former names of the lists are
// read, too.
const (
	optionDriverAllow  = "driver.allowlist"
	optionDriverDeny   = "driver.denylist"
	optionEnvDeny      = "env.denylist"
	optionUserDeny     = "user.denylist"
	optionUserDrivers  = "user.checked_drivers"
	formerDriverAllow  = "driver.whitelist"
	formerDriverDeny   = "driver.blacklist"
	formerEnvDeny      = "env.blacklist"
	formerUserDeny     = "user.blacklist"
	defaultUserDeny    = "root,Administrator"
	defaultUserDrivers = "exec,qemu,java"
)

// effective are the names of all options that have an effect.
var effective = []string{
	optionDriverAllow, optionDriverDeny, optionEnvDeny, optionUserDeny, optionUserDrivers,
	formerDriverAllow, formerDriverDeny, formerEnvDeny, formerUserDeny,
}

// optionsWithoutEffect names the options that change nothing.
func (c *ClientFile) optionsWithoutEffect() []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(c.Options)) {
		if !slices.Contains(effective, key) {
			keys = append(keys, "client.options: "+key)
		}
	}
	return keys
}

// list reads an option whose value is a list with commas, by the first of its names that is set.
func (c *ClientFile) list(names ...string) (items []string, set bool) {
	for _, name := range names {
		text, ok := c.Options[name]
		if !ok {
			continue
		}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items, true
	}
	return nil, false
}

// denied says what tasks may not have.
func (c *ClientFile) denied(out *client.Config) {
	out.DeniedEnv, _ = c.list(optionEnvDeny, formerEnvDeny)
	users, some := c.list(optionUserDeny, formerUserDeny)
	held, named := c.list(optionUserDrivers)
	if !some && !named {
		return
	}
	defaults := ClientFile{Options: map[string]string{optionUserDeny: defaultUserDeny, optionUserDrivers: defaultUserDrivers}}
	if !some {
		users, _ = defaults.list(optionUserDeny)
	}
	if !named {
		held, _ = defaults.list(optionUserDrivers)
	}
	out.DeniedUsers = hooks.Users{Denied: users, Drivers: held}
}

// Offers says whether the client may offer a driver, given all names by which jobs can call it:
// one of them is allowed, if any driver is named as allowed, and none is denied.
func (f *File) Offers(names ...string) bool {
	if f.Client == nil {
		return true
	}
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(n string) bool { return slices.Contains(names, n) })
	}
	allowed, _ := f.Client.list(optionDriverAllow, formerDriverAllow)
	denied, _ := f.Client.list(optionDriverDeny, formerDriverDeny)
	return (len(allowed) == 0 || named(allowed)) && !named(denied)
}
