package sim_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/nomadish/nomadish/server/servertest/sim"
)

var (
	first   = flag.Uint64("sim.seed", 1, "first seed")
	seeds   = flag.Uint64("sim.seeds", 2, "number of seeds")
	reports = flag.String("sim.reports", "", "file to write reports to, as JSON, one line each")
	failure = flag.String("sim.failures", "", "directory for the histories of seeds that failed")
)

// Whatever breaks, and however it comes together: the invariants hold, and once nothing breaks any more the
// cluster does what it is asked for. SEED=n in the environment runs that seed alone.
func TestSchedules(t *testing.T) {
	from, n := *first, *seeds
	if v := os.Getenv("SEED"); v != "" {
		if _, err := fmt.Sscan(v, &from); err != nil {
			t.Fatalf("SEED: %v", err)
		}
		n = 1
	}
	for seed := from; seed < from+n; seed++ {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
			report := sim.Run(t, sim.Config{Seed: seed, Failure: *failure})
			t.Log(report.Counts)
			if *reports != "" {
				write(t, report)
			}
		})
	}
}

func write(t *testing.T, report *sim.Report) {
	f, err := os.OpenFile(*reports, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := json.NewEncoder(f).Encode(report); err != nil {
		t.Fatal(err)
	}
}
