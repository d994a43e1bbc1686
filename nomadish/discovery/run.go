package discovery

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// maxSaid bounds what of a program's complaint is told.
const maxSaid = 1024

// Failed is the error of a program that ended in one.
type Failed struct {
	Err  error
	Said string // on standard error, its beginning
}

// Error says how it ended, and what it said.
func (f *Failed) Error() string {
	if f.Said == "" {
		return f.Err.Error()
	}
	return f.Err.Error() + ": " + f.Said
}

// Unwrap returns how it ended.
func (f *Failed) Unwrap() error { return f.Err }

// Run runs a program and returns the addresses that it prints, with white space between them. What it
// started is ended with it when ctx ends.
func Run(ctx context.Context, input, program string, args ...string) ([]string, error) {
	out, said := &capped{most: maxOutput, refuse: true}, &capped{most: maxSaid}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), out, said
	cmd.WaitDelay = time.Second // for others that hold its output open
	asGroup(cmd)
	err := cmd.Run()
	if out.refused {
		return nil, fmt.Errorf("prints more than %d bytes", maxOutput)
	}
	if err != nil {
		return nil, &Failed{Err: err, Said: strings.TrimSpace(string(said.text))}
	}
	found := strings.Fields(string(out.text))
	for i, addr := range found {
		found[i] = strings.Trim(addr, `"`)
	}
	return found, nil
}

// capped keeps the beginning of what is written to it.
type capped struct {
	text    []byte
	most    int
	refuse  bool // what is more is an error
	refused bool
}

// Write takes what there is room for.
func (c *capped) Write(p []byte) (int, error) {
	room := c.most - len(c.text)
	if c.refuse && len(p) > room {
		c.refused = true
		return 0, errors.New("too much")
	}
	c.text = append(c.text, p[:min(len(p), room)]...)
	return len(p), nil
}
