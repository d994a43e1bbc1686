package hooks

import (
	"os/user"
	"strconv"
	"strings"
)

// lookupUser finds a user of this node by name or number, with or without a group behind a
// colon.
func lookupUser(name string) (uid, gid int, ok bool) {
	name, _, _ = strings.Cut(name, ":")
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return 0, 0, false
		}
	}
	uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return 0, 0, false
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err == nil
}
