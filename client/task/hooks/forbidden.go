package hooks

import (
	"context"
	"fmt"
	"os/user"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/client/task"
)

// Users are those as whom no task may run.
type Users struct {
	Denied  []string // names or numbers
	Drivers []string // of the tasks that are held to it
}

// forbidden refuses a task that asks to run as somebody whom this node's operator keeps for
// himself.
type forbidden struct{ users Users }

func (forbidden) Name() string { return "user" }

func (h forbidden) Prepare(_ context.Context, s *task.Setup) error {
	if s.Spec.User == "" || !slices.Contains(h.users.Drivers, s.Task.Driver) {
		return nil
	}
	asked := namesOf(s.Spec.User)
	for _, denied := range h.users.Denied {
		if slices.ContainsFunc(namesOf(denied), func(n string) bool { return slices.Contains(asked, n) }) {
			return &task.InvalidError{Err: fmt.Errorf("user %q: this node runs no task of driver %s as %s", s.Spec.User, s.Task.Driver, denied)}
		}
	}
	return nil
}

// namesOf returns what a user can be called: its name, and its number where this node knows it.
// A group behind a colon does not count.
func namesOf(name string) []string {
	name, _, _ = strings.Cut(name, ":")
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return []string{name}
	}
	return []string{name, u.Username, u.Uid}
}
