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
