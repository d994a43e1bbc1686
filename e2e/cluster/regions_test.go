//go:build linux && faults

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

// federation makes a lab of three regions of one server each, "us" the authoritative one, and a client of
// each region's server that may do everything everywhere.
func federation(t *testing.T) (l *Lab, machines map[string]*Machine, clients map[string]*api.Client) {
	t.Helper()
	l, err := New(t.TempDir())
	must(t, err)
	t.Cleanup(func() {
		l.Report(t)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	secret := nomadish.NewID()
	machines, clients = map[string]*Machine{}, map[string]*api.Client{}
	for _, region := range []string{"us", "eu", "ap"} {
		m, err := l.Add(Config{
			Name: region, Server: true, ServerKeys: map[string]any{"bootstrap_expect": 1, "authoritative_region": "us"},
			Agent: map[string]any{"region": region, "acl": map[string]any{"enabled": true, "replication_token": secret}},
		})
		must(t, err)
		must(t, m.Start())
		machines[region] = m
		clients[region], err = api.New(api.Config{Address: "http://" + m.Addr, Transport: l.ns.transport(), Token: nomadish.SecretText(secret)})
		must(t, err)
	}
	must(t, until(testContext(t), "the first token", func(ctx context.Context) error {
		_, err := clients["us"].ACL().Bootstrap(ctx, nomadish.SecretText(secret))
		return err
	}))
	for _, through := range clients {
		for region := range clients {
			must(t, until(testContext(t), "every region is reached", func(ctx context.Context) error {
				_, _, err := through.Jobs().List(ctx, &api.Query{Region: region})
				return err
			}))
		}
	}
	return l, machines, clients
}

// A region whose link is cut, in the middle of what goes through it, is missed by nobody: the others answer
// as ever, about themselves and about each other, and say within 5 seconds that it can't be reached. When
// the link is back everything goes on.
func TestRegionCutOff(t *testing.T) {
	l, machines, clients := federation(t)
	eu := clients["eu"]
	waited := make(chan time.Time, 1)
	go func() { // it is underway when the link goes
		if _, _, err := eu.Jobs().List(t.Context(), &api.Query{Region: "us", MinIndex: 1 << 40, Wait: time.Minute}); err == nil {
			t.Error("a request that waited in the region that is cut off went on")
		}
		waited <- time.Now()
	}()
	must(t, l.Part([]*Machine{machines["us"]}, []*Machine{machines["eu"], machines["ap"]}))
	cut := time.Now()
	for round := range 2 { // with a session that was there before, and without one
		for what, call := range map[string]func(ctx context.Context) error{
			"read": func(ctx context.Context) error {
				_, _, err := eu.Jobs().List(ctx, &api.Query{Region: "us"})
				return err
			},
			"write":  func(ctx context.Context) error { return eu.Namespaces().Put(ctx, &nomadish.Namespace{Name: "never"}) },
			"stream": func(ctx context.Context) error { return firstEvent(ctx, eu, machines["eu"].Addr) },
		} {
			began := time.Now()
			err := call(testContext(t))
			took := time.Since(began)
			var answer *api.Error
			if !errors.As(err, &answer) || answer.StatusCode != http.StatusServiceUnavailable || took > 5*time.Second+500*time.Millisecond {
				t.Errorf("round %d: a %s: %v after %s, want status 503 within 5 s", round, what, err, took)
			}
			t.Logf("round %d: a %s failed after %s", round, what, took.Round(10*time.Millisecond))
		}
		for region, own := range map[string]*api.Client{"eu": eu, "ap": clients["ap"]} {
			for _, asked := range []string{"eu", "ap"} {
				began := time.Now()
				if _, _, err := own.Jobs().List(testContext(t), &api.Query{Region: asked}); err != nil || time.Since(began) > time.Second {
					t.Errorf("%s asked through %s: %v after %s", asked, region, err, time.Since(began))
				}
			}
		}
	}
	t.Logf("a request that waited there ended %s after the cut", (<-waited).Sub(cut).Round(10*time.Millisecond))
	must(t, clients["us"].Namespaces().Put(testContext(t), &nomadish.Namespace{Name: "meanwhile"}))
	must(t, l.Heal())
	healed := time.Now()
	for _, region := range []string{"eu", "ap"} {
		must(t, machine.Until(testContext(t), region+" has what was made meanwhile", func(ctx context.Context) error {
			_, _, err := clients[region].Namespaces().Namespace(ctx, "meanwhile", nil)
			return err
		}))
		must(t, until(testContext(t), "us is reached from "+region, func(ctx context.Context) error {
			_, _, err := clients[region].Jobs().List(ctx, &api.Query{Region: "us"})
			return err
		}))
	}
	t.Logf("all went on %s after the link was back", time.Since(healed).Round(10*time.Millisecond))
}

// firstEvent waits for the first event of another region.
func firstEvent(ctx context.Context, c *api.Client, addr string) error {
	resp, err := c.Raw(ctx, http.MethodGet, "/v1/event/stream?region=us&topic=Job", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &api.Error{StatusCode: resp.StatusCode, Body: "stream at " + addr}
	}
	_, err = resp.Body.Read(make([]byte, 1))
	return fmt.Errorf("it began: %w", err)
}
