//go:build linux

package images

import (
	"context"
	"net"
	"time"
)

// WithDial returns the configuration with another way to reach registries.
func (c Config) WithDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) Config {
	c.dial = dial
	return c
}

// WithBackoff returns the configuration with another pause before the second attempt.
func (c Config) WithBackoff(d time.Duration) Config {
	c.backoff = d
	return c
}
