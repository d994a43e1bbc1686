package cli

import (
	"context"
	"errors"
	"log"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish/discovery"
)

// fakeProvider answers with what a question has in it.
type fakeProvider struct{}

func (fakeProvider) Addrs(args map[string]string, _ *log.Logger) ([]string, error) {
	switch args["tag"] {
	case "broken":
		return nil, errors.New("access is denied")
	case "worse":
		panic("index out of range")
	}
	return strings.Split(args["tag"], ","), nil
}

// Servers are looked up as an agent would, secrets may come by standard input, and what fails is told without them.
func TestDiscover(t *testing.T) {
	for name, tt := range map[string]struct {
		args, stdin, want string
		code              int
	}{
		"provider":       {args: "provider=fake tag=10.0.0.1,10.0.0.2", want: "10.0.0.1\n10.0.0.2\n"},
		"standard input": {args: "-", stdin: "provider=fake key=secret tag=a\n", want: "a\n"},
		"program":        {args: "exec=echo b c", want: "b\nc\n"},
		"denied":         {args: "provider=fake key=secret tag=broken", want: "provider=fake: access is denied", code: ExitFailed},
		"panics":         {args: "provider=fake tag=worse", want: "provider=fake: the provider's library fails: index out of range", code: ExitFailed},
		"unknown":        {args: "provider=none key=secret", want: "provider=none: this program asks fake. For others", code: ExitFailed},
		"an address":     {args: "10.0.0.1", want: "want \"provider=", code: ExitUsage},
	} {
		var stdout, stderr strings.Builder
		code := Run(context.Background(), Program{
			Stdin: strings.NewReader(tt.stdin), Stdout: &stdout, Stderr: &stderr, Env: lookup(nil),
			Providers: map[string]discovery.Provider{"fake": fakeProvider{}},
		}, []string{"discover", tt.args})
		if got := stdout.String() + stderr.String(); code != tt.code || code == ExitOK && got != tt.want || !strings.Contains(got, tt.want) || strings.Contains(got, "secret") {
			t.Errorf("%s: %d %s, want %d %s", name, code, got, tt.code, tt.want)
		}
	}
}
