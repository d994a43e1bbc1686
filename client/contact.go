package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// contact is what a node knows of the servers: where they are, and when they last knew that it lives.
// The client's mutex guards it.
type contact struct {
	servers []string
	last    time.Time // when the newest heartbeat that they took began
	kept    time.Time // the time that the file has of it
}

// maxKnownServers bounds how many addresses of servers a node remembers.
const maxKnownServers = 64

// keepContact is how old the time of the last contact may be that the node's disk knows.
const keepContact = 10 * time.Second

func (c *Client) contactFile() string { return filepath.Join(c.dir, "servers.json") }

// load reads what an earlier agent knew. A node that never had contact has it now.
func (k *contact) load(path string, now time.Time) error {
	k.last, k.kept = now, now
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &k.servers); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	// The clock may have been turned back since; what is ahead of it was a moment ago.
	if at := info.ModTime(); at.Before(now) {
		k.last, k.kept = now.Add(-now.Sub(at)), at
	}
	return nil
}

// Servers returns the addresses that the servers last told.
func (c *Client) Servers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.contact.servers)
}

// leased takes note of a lease that was asked for at a time.
func (c *Client) leased(lease *nomadish.NodeLease, asked time.Time) {
	servers := lease.Servers[:min(len(lease.Servers), maxKnownServers)]
	c.mu.Lock()
	k := &c.contact
	k.last = asked
	changed := len(servers) > 0 && !slices.Equal(servers, k.servers)
	if changed {
		k.servers = slices.Clone(servers)
	}
	old := asked.Sub(k.kept) >= keepContact
	if changed || old {
		k.kept = asked
	}
	known := k.servers
	c.mu.Unlock()
	if err := c.keepContact(known, changed, old, asked); err != nil {
		c.log.Warn("remember the servers", "err", err) // they tell again with the next lease
	}
	c.cfg.Leased(lease)
}

func (c *Client) keepContact(servers []string, changed, old bool, at time.Time) error {
	switch {
	case changed:
		data, err := json.Marshal(servers)
		if err != nil {
			return err
		}
		return writeFile(c.contactFile(), string(data)+"\n")
	case old && len(servers) > 0:
		return os.Chtimes(c.contactFile(), at, at)
	}
	return nil
}
