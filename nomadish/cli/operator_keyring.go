package cli

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func keyringListCommand() command {
	return command{
		words: "operator root keyring list", summary: "List the root keys, which seal variables and sign identities",
		help: "  States: active (seals and signs), prepublished (will, at its publish time), inactive (opens and verifies what is\n" +
			"  there), rekeying (what it sealed is being sealed anew), deprecated (nothing is sealed with it any more).",
		example: "  nomadish operator root keyring list",
		reads:   true,
		run:     runKeyringList,
	}
}

func runKeyringList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	keys, _, err := client.Keyring().List(ctx, nil)
	if err != nil {
		return err
	}
	slices.SortFunc(keys, func(a, b *nomadish.RootKey) int {
		return cmp.Or(cmp.Compare(b.CreateTime, a.CreateTime), cmp.Compare(a.KeyID, b.KeyID))
	})
	return c.show(keys, func(p *page) { c.rootKeyTable(p, keys...) })
}

// rootKeyTable shows root keys.
func (c *call) rootKeyTable(p *page, keys ...*nomadish.RootKey) {
	rows := make([][]string, len(keys))
	for i, k := range keys {
		rows[i] = []string{c.id(k.KeyID), string(k.State), utc(k.CreateTime), utc(k.PublishTime)}
	}
	p.table([]string{"Key", "State", "Create Time", "Publish Time"}, rows)
}

// utc writes a time in nanoseconds since 1970; 0: there is none.
func utc(nanoseconds int64) string {
	if nanoseconds == 0 {
		return "<none>"
	}
	return time.Unix(0, nanoseconds).UTC().Format(time.RFC3339)
}

func keyringRotateCommand() command {
	return command{
		words: "operator root keyring rotate", summary: "Make a new root key",
		help: "  One of -now and -prepublish is required. A key that is published before it signs is known by then to those who\n" +
			"  verify identities. What former keys have sealed stays readable.",
		example: "  nomadish operator root keyring rotate -prepublish 1h\n  nomadish operator root keyring rotate -now -full",
		reads:   true,
		run:     runKeyringRotate,
	}
}

func runKeyringRotate(ctx context.Context, c *call) error {
	c.readFlags()
	full := c.flags.Bool("full", false, "have what former keys sealed be sealed anew; goes on after the command has ended")
	now := c.flags.Bool("now", false, "use the key at once")
	ahead := c.flags.Duration("prepublish", 0, "use the key after this `time`, such as 1h, and publish it now")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case *now == (*ahead != 0):
		return c.misused("one of -now and -prepublish is required")
	case *ahead < 0:
		return c.misused("-prepublish: %s is no time ahead", *ahead)
	case *full && !*now:
		return c.misused("-full and -prepublish exclude each other")
	}
	req := &nomadish.KeyringRotateRequest{Full: *full}
	if *ahead > 0 {
		req.PublishTime = c.Now().Add(*ahead).UnixNano()
	}
	key, err := client.Keyring().Rotate(ctx, req)
	if err != nil {
		return err
	}
	return c.show(key, func(p *page) { c.rootKeyTable(p, key) })
}

func keyringRemoveCommand() command {
	return command{
		words: "operator root keyring remove", args: "KEY", summary: "Remove a root key that nothing needs any more",
		help: "  KEY is its ID, or the beginning of it. The active key, and keys that something is sealed with, can't be removed:\n" +
			"  rotate with -full first. So can't keys whose identities living allocations may hold, but with -force: those\n" +
			"  identities are worth nothing then.",
		example: "  nomadish operator root keyring remove 8d87a371",
		run:     runKeyringRemove,
	}
}

func runKeyringRemove(ctx context.Context, c *call) error {
	c.remoteFlags()
	force := c.flags.Bool("force", false, "also if allocations may hold identities that the key signed")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	id, err := c.whole("root key", c.args[0], func(*api.Query) ([]candidate, error) {
		keys, _, err := client.Keyring().List(ctx, nil)
		all := make([]candidate, len(keys))
		for i, k := range keys {
			all[i] = candidate{k.KeyID, string(k.State)}
		}
		return all, err
	})
	if err != nil {
		return err
	}
	if err := client.Keyring().Delete(ctx, id, *force); err != nil {
		return err
	}
	return c.print("Root key %s is removed.\n", id)
}
