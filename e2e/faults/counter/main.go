//go:build linux

// Command counter is the task of the fault tests. It writes numbered lines to its output
// and keeps its own record, in the allocation's data directory, of when it ran:
//
//	start PID     each start
//	doubled PID   another process of the same task ran already
//	end NUMBER    how many lines were written, at an orderly end
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	every := flag.Duration("every", 10*time.Millisecond, "time between two lines")
	last := flag.Duration("for", 0, "time to run; 0: until a signal comes")
	code := flag.Int("exit", 0, "code to end with when the time is over")
	name := flag.String("record", "record", "name of the record")
	flag.Parse()
	overtime, err := run(*every, *last, *name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "counter:", err)
		os.Exit(1)
	}
	if overtime {
		os.Exit(*code)
	}
}

// run counts until the time is over or a signal comes, and says which.
func run(every, last time.Duration, name string) (overtime bool, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	dir := filepath.Join(os.Getenv("NOMAD_ALLOC_DIR"), "data")
	record, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return false, err
	}
	defer record.Close()
	fmt.Fprintln(record, "start", os.Getpid())
	lock, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		fmt.Fprintln(record, "doubled", os.Getpid())
		return false, errors.New("another process of this task runs")
	}
	var over <-chan time.Time
	if last > 0 {
		over = time.After(last)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for number := 0; ; {
		select {
		case <-tick.C:
			if _, err := fmt.Println(number); err != nil {
				return false, err
			}
			number++
			continue
		case <-over:
			overtime = true
		case <-signals:
		}
		_, err := fmt.Fprintln(record, "end", number)
		return overtime, err
	}
}
