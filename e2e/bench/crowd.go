//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
)

// crowdPace is the pause between the requests of the caller that a crowd may not disturb.
const crowdPace = 5 * time.Millisecond

// crowd measures what strangers cost who connect and then say nothing, or half of something.
func (b *bench) crowd(ctx context.Context) error {
	unlimited := map[string]any{"limits": map[string]any{"http_requests_per_address": 0}} // for the caller that measures
	return b.with(ctx, "crowd", machine.Config{Agent: unlimited}, func(ctx context.Context, n *machine.Node) error {
		if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
			return err
		}
		peer, err := n.Peer()
		if err != nil {
			return err
		}
		for _, c := range []struct {
			name, addr      string
			addresses, each int
			greeting        string
		}{
			{"4,000 half-open requests from 40 addresses", n.Addr, 40, 100, "GET / HTTP/1.1\r\nHost: x\r\n"},
			{"1,000 idle connections to the API", n.Addr, 10, 100, ""},
			{"1,000 idle connections to the servers' port", peer, 10, 100, ""},
		} {
			if err := b.oneCrowd(ctx, n, c.name, c.addr, c.addresses, c.each, c.greeting); err != nil {
				return err
			}
		}
		return b.hugeBody(ctx, n)
	})
}

func (b *bench) oneCrowd(ctx context.Context, n *machine.Node, name, addr string, addresses, each int, greeting string) error {
	before, err := machine.RSS(n.PID())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	begin := time.Now()
	crowd, err := machine.Gather(ctx, addr, addresses, each, greeting)
	if err != nil {
		return err
	}
	gathered := time.Now()
	dispersed := make(chan error, 1)
	go func() { dispersed <- crowd.Dispersed(ctx) }()
	var took []time.Duration
	most := before
	for waiting := true; waiting; {
		asked := time.Now()
		if _, _, err := n.API.Jobs().List(ctx, nil); err != nil {
			return err
		}
		took = append(took, time.Since(asked))
		rss, err := machine.RSS(n.PID())
		if err != nil {
			return err
		}
		most = max(most, rss)
		select {
		case err := <-dispersed:
			if err != nil {
				return err
			}
			waiting = false
		case <-time.After(crowdPace):
		}
	}
	b.add(name+": connected in", gathered.Sub(begin).Seconds(), 0, "s")
	b.add("  all closed after", time.Since(gathered).Seconds(), 10, "s")
	b.add("  another caller meanwhile: p99", ms(percentile(took, 99)), 250, "ms")
	b.add("  memory", float64(most-before)/(1<<20), 100, "MiB")
	return nil
}

// hugeBody measures how soon a body of 100 MB is refused.
func (b *bench) hugeBody(ctx context.Context, n *machine.Node) error {
	var took []time.Duration
	for range 10 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+n.Addr+"/v1/jobs", http.NoBody)
		if err != nil {
			return err
		}
		req.Body, req.ContentLength = io.NopCloser(io.LimitReader(zeros{}, 100<<20)), 100<<20
		begin := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		took = append(took, time.Since(begin))
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			return fmt.Errorf("a body of 100 MB: %s", resp.Status)
		}
	}
	b.add("a body of 100 MB is refused after: median of 10", ms(percentile(took, 50)), 50, "ms")
	return nil
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
