package hooks

import (
	"context"
	"errors"
	"testing"

	"github.com/nomadish/nomadish/client/task"
)

// A task of a driver that is held to it runs as nobody who is denied, by whatever name; all
// others run as who they say.
func TestDeniedUsers(t *testing.T) {
	for _, tt := range []struct {
		name, user, driver string
		denied             []string
		want               bool
	}{
		{name: "by name", user: "root", denied: []string{"root"}, want: true},
		{name: "by number", user: "0", denied: []string{"root"}, want: true},
		{name: "by name, denied by number", user: "root", denied: []string{"0"}, want: true},
		{name: "with a group", user: "0:100", denied: []string{"root"}, want: true},
		{name: "not known here", user: "no-such-user", denied: []string{"Administrator", "no-such-user"}, want: true},
		{name: "somebody else", user: "nobody", denied: []string{"root", "Administrator"}},
		{name: "nobody in particular", denied: []string{"root"}},
		{name: "another driver", user: "root", driver: "exec", denied: []string{"root"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSetup(t)
			s.Spec.User = tt.user
			if tt.driver != "" {
				s.Task.Driver = tt.driver
			}
			h := forbidden{Users{Denied: tt.denied, Drivers: []string{"mock_driver"}}}
			err := h.Prepare(context.Background(), s)
			var invalid *task.InvalidError
			if got := errors.As(err, &invalid); got != tt.want {
				t.Errorf("refused: %t, %v; want %t", got, err, tt.want)
			}
		})
	}
}

// A variable of the agent that is denied reaches no task.
func TestDeniedEnv(t *testing.T) {
	t.Setenv("LANG", "C")
	t.Setenv("TZ", "UTC")
	s := newSetup(t)
	if err := (environment{denied: []string{"TZ"}}).Prepare(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if tz, ok := s.Spec.Env["TZ"]; ok || s.Spec.Env["LANG"] != "C" {
		t.Errorf("TZ %q, LANG %q; want LANG alone", tz, s.Spec.Env["LANG"])
	}
}
