//go:build linux

// Command bench measures agents of the real program against the figures that they have to
// keep, and prints both:
//
//	go run ./e2e/bench -binary bin/nomadish
//
// It ends with 0 also where a figure is missed, since other machines and other loads give
// other figures; it ends with 1 when something does not work at all.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
)

// figure is one line of the table.
type figure struct {
	Name   string
	Value  float64
	Target float64 // the value has to be below it; 0: none
	Unit   string
}

func (f figure) verdict() string {
	switch {
	case f.Target == 0:
		return ""
	case f.Value < f.Target:
		return "ok"
	}
	return "MISSED"
}

// bench collects figures.
type bench struct {
	binary  string
	dir     string
	idle    time.Duration // how long to watch an idle agent
	figures []figure
}

func (b *bench) add(name string, value, target float64, unit string) {
	b.figures = append(b.figures, figure{name, value, target, unit})
}

func main() {
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "", "the program; default: bin/nomadish of this module")
	flag.DurationVar(&b.idle, "idle", 20*time.Second, "how long to watch what is idle")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := b.run(ctx)
	if printErr := b.print(os.Stdout, *asJSON); err == nil {
		err = printErr
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run makes the measurements one after the other; those before a fault are kept.
func (b *bench) run(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "nomadish-bench"); err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(b.dir); err == nil {
			err = e
		}
	}()
	for _, measure := range []func(context.Context) error{b.starts, b.idles, b.processes, b.containers} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) print(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(b.figures)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "figure\tmeasured\ttarget\t")
	for _, f := range b.figures {
		target := ""
		if f.Target != 0 {
			target = fmt.Sprintf("< %g %s", f.Target, f.Unit)
		}
		fmt.Fprintf(table, "%s\t%.4g %s\t%s\t%s\n", f.Name, f.Value, f.Unit, target, f.verdict())
	}
	return table.Flush()
}

// with runs an agent in a directory of its own while use is called.
func (b *bench) with(ctx context.Context, name string, cfg machine.Config, use func(context.Context, *machine.Node) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cfg.Binary, cfg.LogLevel = b.binary, "info"
	if cfg.Dir, err = os.MkdirTemp(b.dir, name); err != nil {
		return err
	}
	n, err := machine.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		if e := n.Close(); err == nil {
			err = e
		}
	}()
	return use(ctx, n)
}
