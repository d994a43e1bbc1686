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
	"regexp"
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
	Above  bool // the value has to be above Target instead
}

func (f figure) verdict() string {
	switch {
	case f.Target == 0:
		return ""
	case f.Above == (f.Value > f.Target):
		return "ok"
	}
	return "MISSED"
}

// bench collects figures.
type bench struct {
	binary  string
	dir     string
	only    *regexp.Regexp
	idle    time.Duration // how long to watch an idle agent
	figures []figure
}

func (b *bench) add(name string, value, target float64, unit string) {
	b.figures = append(b.figures, figure{Name: name, Value: value, Target: target, Unit: unit})
}

func (b *bench) atLeast(name string, value, target float64, unit string) {
	b.figures = append(b.figures, figure{Name: name, Value: value, Target: target, Unit: unit, Above: true})
}

func main() {
	b := &bench{}
	flag.StringVar(&b.binary, "binary", "", "the program; default: bin/nomadish of this module")
	flag.DurationVar(&b.idle, "idle", 20*time.Second, "how long to watch what is idle")
	only := flag.String("only", "", "a regular expression: measure only starts, idle, raw_exec, exec, containers, pulls, flood, crowd, nodes or writes")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	var err error
	if b.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -only:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = b.run(ctx)
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
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"starts", b.starts},
		{"idle", b.idles},
		{"raw_exec", b.processes},
		{"exec", b.isolated},
		{"containers", b.containers},
		{"pulls", b.pulls},
		{"flood", b.flood},
		{"crowd", b.crowd},
		{"nodes", b.nodes},
		{"writes", b.writes},
	} {
		if !b.only.MatchString(part.name) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
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
			sign := map[bool]string{false: "<", true: ">"}[f.Above]
			target = fmt.Sprintf("%s %.4g %s", sign, f.Target, f.Unit)
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
