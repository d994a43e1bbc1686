//go:build linux

package docker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers/container"
)

// maxUsers bounds how many answers about users of images are kept.
const maxUsers = 1024

// users remembers which numbers the users of images have: finding out needs a mount.
type users struct {
	mu    sync.Mutex
	known map[string]specs.User
}

// checkUser refuses what is neither a name nor a plain number that fits, alone or as
// USER:GROUP: what another program might read as root.
func checkUser(text string) error {
	if text == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ":") {
		if !validUser(part) {
			return fmt.Errorf("user: %q is neither a name nor a number below 2147483648", text)
		}
	}
	if strings.Count(text, ":") > 1 {
		return fmt.Errorf("user: %q is not USER or USER:GROUP", text)
	}
	return nil
}

func validUser(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	if s[0] >= '0' && s[0] <= '9' {
		n, err := strconv.ParseUint(s, 10, 31)
		return err == nil && strconv.FormatUint(n, 10) == s
	}
	return s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.$@", r)
	})
}

// user returns the numbers of a user ("name", "uid", "name:group", …; empty is root) and
// of additional groups, by the image's /etc/passwd and /etc/group.
func (d *Driver) user(ctx context.Context, c *client.Client, img client.Image, name string, groups []string) (specs.User, error) {
	key := strings.Join(append([]string{img.Target().Digest.String(), name}, groups...), "\x00")
	d.users.mu.Lock()
	u, ok := d.users.known[key]
	d.users.mu.Unlock()
	if ok {
		return u, nil
	}
	err := d.View(ctx, c, img, func(root string) error {
		var err error
		u, err = container.LookUp(root, name, groups)
		return err
	})
	if err != nil {
		return specs.User{}, err
	}
	d.users.mu.Lock()
	defer d.users.mu.Unlock()
	if d.users.known == nil || len(d.users.known) >= maxUsers {
		d.users.known = map[string]specs.User{}
	}
	d.users.known[key] = u
	return u, nil
}
