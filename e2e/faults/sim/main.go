// Command sim runs the simulation of server/servertest/sim with many seeds, several processes side by side,
// and says what they did and what they found. With -planted it does so for each bug of
// e2e/faults/planted, which is patched into a copy of the code: a simulation that does not find it within
// -seeds is not worth much.
//
//	go run ./e2e/faults/sim -seeds 500
//	go run ./e2e/faults/sim -planted -seeds 50
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run() error {
	r := &runner{}
	var planted bool
	var only string
	flag.Uint64Var(&r.first, "first", 1, "first seed")
	flag.Uint64Var(&r.seeds, "seeds", 50, "number of seeds")
	flag.IntVar(&r.jobs, "jobs", runtime.NumCPU(), "processes side by side")
	flag.DurationVar(&r.limit, "limit", 2*time.Minute, "time that one seed may take")
	flag.StringVar(&r.failures, "failures", filepath.Join(os.TempDir(), "nomadish-sim"), "directory for what failed seeds did")
	flag.BoolVar(&r.verbose, "v", false, "tell of every seed")
	flag.BoolVar(&planted, "planted", false, "look for the planted bugs")
	flag.StringVar(&only, "only", "", "with -planted: the patches whose names contain this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if planted {
		return r.findPlanted(ctx, only)
	}
	return r.runSeeds(ctx)
}

// runSeeds runs all seeds on the code as it is.
func (r *runner) runSeeds(ctx context.Context) error {
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is a temporary one
	binary, err := build(ctx, root, dir)
	if err != nil {
		return err
	}
	total := newTotal()
	began := time.Now()
	r.each(ctx, binary, func(out outcome) bool {
		total.add(out)
		if out.failed() {
			fmt.Printf("SEED=%d: %s\n", out.seed, out.why())
		} else if r.verbose {
			fmt.Printf("SEED=%d: %s of CPU\n", out.seed, out.cpu.Round(10*time.Millisecond))
		} else if total.seeds%25 == 0 {
			fmt.Printf("%d seeds, %d with violations, %s\n", total.seeds, total.bad, time.Since(began).Round(time.Second))
		}
		return true
	})
	total.print(os.Stdout, time.Since(began))
	switch {
	case total.bad > 0:
		return fmt.Errorf("%d of %d seeds violate an invariant: SEED=n go test ./server/servertest/sim repeats one, histories are in %s", total.bad, total.seeds, r.failures)
	case total.seeds < int(r.seeds):
		return fmt.Errorf("%d of %d seeds were run", total.seeds, r.seeds)
	}
	return total.enough()
}
