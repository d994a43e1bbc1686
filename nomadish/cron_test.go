package nomadish

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestCronLaunches: the next launch, or the refusal, is Nomad's.
func TestCronLaunches(t *testing.T) {
	data, err := os.ReadFile("testdata/cron.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		f := strings.Split(line, "\t")
		asked, err := time.Parse(time.RFC3339, f[1])
		if err != nil {
			t.Fatal(err)
		}
		p := &PeriodicConfig{Spec: &f[0]}
		p.normalize()
		next, err := p.Next(asked)
		got := "None"
		if !next.IsZero() {
			got = next.UTC().Format(time.RFC3339)
		}
		if strings.HasPrefix(f[2], "HTTP") {
			job := launchJob(p)
			job.Admit()
			err := job.Validate()
			if err == nil {
				t.Errorf("%s: valid, want %s", f[0], f[3])
				continue
			}
			// The column is a Python list of one string, Nomad's message one level in.
			message := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\'`, "'").Replace(f[3][2 : len(f[3])-2])
			if want := "1 error occurred:\n\t* " + message + "\n\n"; err.Error() != want {
				t.Errorf("%s: got %q\nwant %q", f[0], err.Error(), want)
			}
			continue
		}
		if err != nil || got != f[2] {
			t.Errorf("%s: got %s, %v, want %s", f[0], got, err, f[2])
		}
	}
}

func launchJob(p *PeriodicConfig) *Job {
	return &Job{
		ID: Ptr("j"), Type: Ptr(JobTypeBatch), Periodic: p,
		TaskGroups: []*TaskGroup{{Name: Ptr("g"), Tasks: []*Task{{Name: "t", Driver: "raw_exec"}}}},
	}
}

// TestCronAcrossClockChanges: what a change of the clock does to launches is as documented
// at PeriodicConfig.Next.
func TestCronAcrossClockChanges(t *testing.T) {
	for _, tt := range []struct{ name, spec, zone, after, want string }{
		{"before spring", "30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-28T01:30:00Z"},
		{"missing hour", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
		{"after spring", "30 2 * * *", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-30T00:30:00Z"},
		{"repeated hour, first pass", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"repeated hour, second pass", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"every half hour goes on", "*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"},
		{"New York, spring", "30 2 * * *", "America/New_York", "2026-03-08T06:00:00Z", "2026-03-09T06:30:00Z"},
		{"New York, autumn", "30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"},
		{"a day's change", "0 0 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-04T13:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			after, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			p := &PeriodicConfig{Specs: []string{tt.spec}, TimeZone: &tt.zone}
			p.normalize()
			next, err := p.Next(after)
			if got := next.UTC().Format(time.RFC3339); err != nil || got != tt.want {
				t.Errorf("got %s (%s), %v, want %s", got, next, err, tt.want)
			}
		})
	}
}

// TestCronEarliest: of several expressions the earliest launch counts, and a list of
// moments works too.
func TestCronEarliest(t *testing.T) {
	after := time.Date(2026, 11, 20, 22, 26, 6, 0, time.UTC)
	p := &PeriodicConfig{Specs: []string{"0 3 * * *", "0 1 * * *", "0 0 31 2 *"}}
	p.normalize()
	if next, err := p.Next(after); err != nil || !next.Equal(time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v, %v", next, err)
	}
	listed := &PeriodicConfig{SpecType: Ptr(PeriodicSpecTest), Spec: Ptr("1, 1900000000,1800000000")}
	listed.normalize()
	if next, err := listed.Next(after); err != nil || next.Unix() != 1800000000 {
		t.Errorf("got %v, %v", next, err)
	}
	bad := &PeriodicConfig{Specs: []string{"nope"}}
	bad.normalize()
	if _, err := bad.Next(after); KindOf(err) != KindInvalid {
		t.Errorf("got %v, want KindInvalid", err)
	}
}
