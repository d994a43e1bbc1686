package cli

import (
	"context"
	"runtime/debug"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// serverGC is how much garbage a server lets come together, in percent of what it needs, where the
// runtime's default is 100. Most of a server's memory is state, sessions and watches, which stay:
// looking through them half as often takes half the time, and costs memory only where much is needed.
const serverGC = 200

// collectSeldom has a server's garbage collected more seldom. GOGC in the environment is followed
// instead.
func collectSeldom(env func(string) (string, bool)) lifecycle.Part {
	return func(ctx context.Context) error {
		if _, set := env("GOGC"); !set {
			defer debug.SetGCPercent(debug.SetGCPercent(serverGC))
		}
		<-ctx.Done()
		return nil
	}
}
