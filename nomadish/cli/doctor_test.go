package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// TestMemberFinding: servers that are gone fail, mixed builds and a pair warn.
func TestMemberFinding(t *testing.T) {
	member := func(name, status, build string) *nomadish.Member {
		return &nomadish.Member{Name: name, Status: status, Tags: map[string]string{"build": build}}
	}
	for _, tt := range []struct {
		members []*nomadish.Member
		status  string
		detail  string
	}{
		{[]*nomadish.Member{member("a", "alive", "1")}, findingOK, "1 server alive"},
		{[]*nomadish.Member{member("a", "alive", "1"), member("b", "alive", "1")}, findingWarning, "2 servers"},
		{[]*nomadish.Member{member("a", "alive", "1"), member("b", "alive", "2"), member("c", "alive", "1")}, findingWarning, "3 servers of different builds: 1, 2"},
		{[]*nomadish.Member{member("a", "alive", "1"), member("b", "failed", "1"), member("c", "alive", "1")}, findingFailure, "2 of 3 servers alive; not: b (failed)"},
	} {
		got := memberFinding(tt.members)
		if got.Status != tt.status || got.Detail != tt.detail || got.Status != findingOK && got.Next == "" {
			t.Errorf("got %+v, want %s: %s, and what to do", got, tt.status, tt.detail)
		}
	}
}

// TestClockFinding: clocks differ only by what neither the journey nor whole seconds explain.
func TestClockFinding(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 500e6, time.UTC)
	for _, tt := range []struct {
		name   string
		date   time.Duration // of the agent's answer, from the second in which it was asked
		trip   time.Duration
		status string
		detail string
	}{
		{"the same", 0, 10 * time.Millisecond, findingOK, "agrees"},
		{"the next second, which may be", time.Second, 600 * time.Millisecond, findingOK, "agrees"},
		{"ahead", 5 * time.Second, 10 * time.Millisecond, findingWarning, "4s ahead of"},
		{"behind", -5 * time.Second, 10 * time.Millisecond, findingWarning, "5s behind"},
		{"within a long journey", 5 * time.Second, 9 * time.Second, findingWarning, "too long"},
		{"another day", -24 * time.Hour, 10 * time.Millisecond, findingFailure, "24h0m0s behind"},
	} {
		got := clockFinding(api.Clock{Date: at.Truncate(time.Second).Add(tt.date), Sent: at, Received: at.Add(tt.trip)})
		if got.Status != tt.status || !strings.Contains(got.Detail, tt.detail) || got.Status != findingOK && got.Next == "" {
			t.Errorf("%s: got %+v, want %s: %s, and what to do", tt.name, got, tt.status, tt.detail)
		}
	}
}

// TestNodeFindings: a cluster without a ready node has failed; what is wrong with a node is said
// with its name.
func TestNodeFindings(t *testing.T) {
	nodes := []*nomadish.NodeListStub{
		{Name: "a", Status: nomadish.NodeStatusDown},
		{Name: "b", Status: nomadish.NodeStatusReady, SchedulingEligibility: nomadish.NodeEligible, Drivers: map[string]*nomadish.DriverInfo{"docker": {Detected: true, HealthDescription: "containerd is gone"}, "qemu": {}}},
	}
	var got []string
	for _, f := range nodeFindings(nodes) {
		got = append(got, f.Status+" "+f.Check+": "+f.Detail)
	}
	want := []string{"ok nodes: 1 of 2 nodes ready for work", "warning node a: it is down: it does not answer", "warning node b: driver docker is not healthy: containerd is gone"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := nodeFindings(nodes[:1])[0]; got.Status != findingFailure {
		t.Errorf("no node is ready: got %+v", got)
	}
}

// TestDoctor: without an agent doctor fails and says what to do; with -json the findings are data.
func TestDoctor(t *testing.T) {
	got := runs(t, "", nil, "doctor", "-cluster", "-address", "127.0.0.1:1")
	if got.code != ExitFailed || !strings.HasPrefix(got.stdout, "failure  agent: no answer from http://127.0.0.1:1") || !strings.Contains(got.stdout, "1 failure, 0 warnings, 0 ok.") {
		t.Errorf("got %+v", got)
	}
	if got := runs(t, "", nil, "doctor", "-machine", "-t", "{{range .}}{{.Check}}={{.Status}} {{end}}"); strings.Count(got.stdout, "=") < 1 || strings.Contains(got.stdout, "agent=") {
		t.Errorf("got %+v", got)
	}
}

// testDoctor: a cluster that works has no failures.
func testDoctor(t *testing.T, c *cluster) {
	if got := c.ok(t, "doctor", "-cluster"); !strings.Contains(got, "1 of 1 node ready") || !strings.Contains(got, "ok       clock: ") || !strings.Contains(got, "0 failures") {
		t.Errorf("got\n%s", got)
	}
}
