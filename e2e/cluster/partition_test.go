//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// A server that is cut off from the others answers no read that has to be up to date and takes no write,
// and says why; the others serve. When it can reach them again, it serves too.
func TestMinorityRefuses(t *testing.T) {
	lab := newLab(t, cluster(0)...)
	for _, who := range full([]string{"leader"}, []string{"leader", "follower"}) {
		t.Run(who, func(t *testing.T) {
			running, end := load(t, lab, "minority-"+who)
			must(t, acked(testContext(t), running, 50))
			minority, err := lab.Leader(testContext(t))
			must(t, err)
			if who == "follower" {
				minority = lab.Others(minority)[0]
			}
			must(t, lab.Part([]*Machine{minority}, lab.Others(minority)))
			must(t, acked(testContext(t), running, 100))
			must(t, refuses(testContext(t), minority, running))
			must(t, lab.Heal())
			must(t, lab.Ready(testContext(t)))
			must(t, machine.Until(testContext(t), "it serves again", func(ctx context.Context) error {
				_, _, err := minority.Inside.Variables().Variable(ctx, running.newest(), nil)
				return err
			}))
			checkLoad(t, lab, "minority-"+who, end(), 150)
		})
	}
}

// refuses checks that a server without a quorum refuses reads and writes, with an answer that says that there
// is no leader, and that it answers a read that may be old.
func refuses(ctx context.Context, m *Machine, running *Load) error {
	path := running.newest()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var errs []error
	_, _, err := m.Inside.Variables().Variable(ctx, path, nil)
	errs = append(errs, leaderless("read", err))
	v := &nomadish.Variable{Items: nomadish.VariableItems{"value": "x"}}
	v.Path = "written-by-the-minority"
	_, err = m.Inside.Variables().Set(ctx, v, nil)
	errs = append(errs, leaderless("write", err))
	if _, _, err := m.Inside.Variables().List(ctx, &api.Query{Stale: true, PerPage: 1}); err != nil {
		errs = append(errs, fmt.Errorf("a stale read: %w", err))
	}
	return errors.Join(errs...)
}

// leaderless checks that a call was refused because there is no leader.
func leaderless(what string, err error) error {
	var answer *api.Error
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusServiceUnavailable {
		return fmt.Errorf("a %s on a server without others: %w, want an answer with status %d", what, errors.Join(err), http.StatusServiceUnavailable)
	}
	return nil
}

// Links that work one way only, and that come and go, cost no write and end in no endless election.
func TestOddLinks(t *testing.T) {
	lab := newLab(t, cluster(0)...)
	deaf := func(l *Lab, leader *Machine) error { return leader.Deafen(l.Others(leader)...) }
	mute := func(l *Lab, leader *Machine) error {
		var errs []error
		for _, m := range l.Others(leader) {
			errs = append(errs, m.Deafen(leader))
		}
		return errors.Join(errs...)
	}
	// The leader and one other server don't reach each other, the third one reaches both.
	bridge := func(l *Lab, leader *Machine) error {
		other := l.Others(leader)[0]
		return l.Part([]*Machine{leader}, []*Machine{other})
	}
	cuts := map[string]func(*Lab, *Machine) error{"deaf": deaf, "mute": mute, "bridge": bridge}
	for _, name := range full([]string{"deaf"}, []string{"deaf", "mute", "bridge"}) {
		cut := cuts[name]
		t.Run(name, func(t *testing.T) {
			running, end := load(t, lab, name)
			must(t, acked(testContext(t), running, 50))
			leader, err := lab.Leader(testContext(t))
			must(t, err)
			begin := time.Now()
			must(t, cut(lab, leader))
			must(t, acked(testContext(t), running, 200))
			t.Logf("FIGURE outage, leader %s: %s", name, running.History().Outage(begin).Round(time.Millisecond))
			must(t, lab.Heal())
			must(t, lab.Ready(testContext(t)))
			checkLoad(t, lab, name, end(), 250)
		})
	}
	t.Run("flapping", func(t *testing.T) {
		running, end := load(t, lab, "flapping")
		flapping := lab.Servers()[0]
		for range full(3, 20) {
			must(t, lab.Part([]*Machine{flapping}, lab.Others(flapping)))
			time.Sleep(full(300*time.Millisecond, time.Second)) // what is tested is that it comes and goes
			must(t, lab.Heal())
			time.Sleep(full(300*time.Millisecond, time.Second))
		}
		must(t, acked(testContext(t), running, 50))
		must(t, lab.Ready(testContext(t)))
		checkLoad(t, lab, "flapping", end(), 60)
	})
	if !everything {
		return
	}
	t.Run("lossy", func(t *testing.T) {
		running, end := load(t, lab, "lossy")
		leader, err := lab.Leader(testContext(t))
		must(t, err)
		for _, m := range lab.Servers() {
			must(t, m.Lose(10, lab.Others(m)...))
		}
		must(t, acked(testContext(t), running, full(200, 1500)))
		now, err := lab.Leader(testContext(t))
		must(t, err)
		t.Logf("with a tenth of all packets lost, the leader was %s, is %s", leader.Name(), now.Name())
		must(t, lab.Heal())
		must(t, lab.Ready(testContext(t)))
		checkLoad(t, lab, "lossy", end(), 200)
	})
}
