// Package discovery finds the addresses of servers that a configuration does not name. An entry of retry_join
// may be a question in place of an address, as in Nomad:
//
//	provider=aws tag_key=role tag_value=nomad    machines of a cloud provider
//	exec=/usr/local/bin/servers -zone a          what a program prints
//
// A [Finder] answers them. Programs run here; providers are asked by who has linked what that needs.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"
)

const (
	byProgram  = "exec="
	byProvider = "provider="
)

// Bounds of an answer.
const (
	maxOutput    = 64 << 10
	maxAddresses = 1000
)

// Provider looks up the addresses of machines at a cloud provider, by a question's pairs. The providers of
// github.com/hashicorp/go-discover are such.
type Provider interface {
	Addrs(args map[string]string, l *log.Logger) ([]string, error)
}

// Finder finds addresses. The zero Finder runs programs, and knows no provider.
type Finder struct {
	Providers []string // their names
	// Ask asks one of them, with the whole question. It returns when ctx has ended.
	Ask    func(ctx context.Context, question string) ([]string, error)
	Within time.Duration // for an answer; default 1m
}

// Is says whether an entry is a question.
func Is(entry string) bool {
	entry = strings.TrimSpace(entry)
	if strings.HasPrefix(entry, byProgram) {
		return true
	}
	for word := range strings.FieldsSeq(entry) { // pairs have no order
		if strings.HasPrefix(word, byProvider) {
			return true
		}
	}
	return false
}

// Name is what of a question may be shown: the rest may hold secrets.
func Name(question string) string {
	if command, ok := strings.CutPrefix(strings.TrimSpace(question), byProgram); ok {
		if words := strings.Fields(command); len(words) > 0 {
			return byProgram + words[0]
		}
		return byProgram
	}
	args, err := Parse(question)
	if err != nil {
		return byProvider
	}
	return byProvider + args["provider"]
}

// Check says what is wrong with a question, as far as that is known before it is asked.
func (f *Finder) Check(question string) error {
	if command, ok := strings.CutPrefix(strings.TrimSpace(question), byProgram); ok {
		if strings.TrimSpace(command) == "" {
			return errors.New("exec=: no program is named")
		}
		return nil
	}
	args, err := Parse(question)
	if err != nil {
		return err
	}
	switch name := args["provider"]; {
	case slices.Contains(f.Providers, name):
		return nil
	case len(f.Providers) == 0:
		return fmt.Errorf("provider=%s: this program asks no providers: give the servers' addresses, a name that all of them have, "+
			"or with \"exec=COMMAND\" a program that prints them", name)
	default:
		return fmt.Errorf("provider=%s: this program asks %s. For others give with \"exec=COMMAND\" a program that prints the servers' addresses "+
			"(\"exec=discover -q addrs provider=%s ...\" where go-discover is installed), or a name that all of them have", name, list(f.Providers), name)
	}
}

func list(names []string) string {
	names = slices.Sorted(slices.Values(names))
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// Find answers a question. That there are no addresses is an error.
func (f *Finder) Find(ctx context.Context, question string) ([]string, error) {
	if err := f.Check(question); err != nil {
		return nil, err
	}
	within := f.Within
	if within == 0 {
		within = time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %s", within))
	defer cancel()
	var found []string
	var err error
	if command, ok := strings.CutPrefix(strings.TrimSpace(question), byProgram); ok {
		found, err = Run(ctx, "", "/bin/sh", "-c", command)
	} else {
		found, err = f.Ask(ctx, question)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && len(found) == 0:
		err = errors.New("no server was found")
	case len(found) > maxAddresses:
		err = fmt.Errorf("%d servers were found, at most %d are allowed", len(found), maxAddresses)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name(question), err)
	}
	return found, nil
}

// Resolve answers the questions among entries, and leaves the others as they are. What
// could be found is returned also where something could not.
func (f *Finder) Resolve(ctx context.Context, entries []string) (addrs []string, err error) {
	var errs []error
	for _, entry := range entries {
		if !Is(entry) {
			addrs = append(addrs, entry)
			continue
		}
		found, err := f.Find(ctx, entry)
		if err != nil {
			errs = append(errs, err)
		}
		addrs = append(addrs, found...)
	}
	return addrs, errors.Join(errs...)
}
