package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func gossipKeyringListCommand() command {
	return command{
		words: "operator gossip keyring list", summary: "List the keys by which servers encrypt their gossip",
		example: "  nomadish operator gossip keyring list",
		reads:   true,
		run:     runGossipKeyringList,
	}
}

func runGossipKeyringList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	keys, err := client.Agent().ListKeys(ctx)
	if err != nil {
		return err
	}
	if err := c.show(keys, func(p *page) {
		rows := [][]string{}
		for _, key := range slices.Sorted(maps.Keys(keys.Keys)) {
			rows = append(rows, []string{key, fmt.Sprintf("%d/%d", keys.Keys[key], keys.NumNodes), strconv.Itoa(keys.PrimaryKeys[key])})
		}
		p.table([]string{"Key", "Servers", "Encrypt By It"}, rows)
	}); err != nil {
		return err
	}
	return silentServers(keys)
}

// silentServers is the error that some servers did not do what they were asked to.
func silentServers(keys *nomadish.KeyringResponse) error {
	if len(keys.Messages) == 0 {
		return nil
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(keys.Messages)) {
		lines = append(lines, name+": "+keys.Messages[name])
	}
	return fmt.Errorf("%d of %d servers: %s", len(lines), keys.NumNodes, strings.Join(lines, "; "))
}

func gossipKeyringGenerateCommand() command {
	return command{
		words: "operator gossip keyring generate", summary: "Make a key for server.encrypt, or to install",
		example: "  nomadish operator gossip keyring generate",
		run: func(_ context.Context, c *call) error {
			if err := c.parse(0, 0); err != nil {
				return err
			}
			key := make([]byte, 32)
			rand.Read(key) // never fails: crypto/rand ends the program instead
			return c.print("%s\n", base64.StdEncoding.EncodeToString(key))
		},
	}
}

func gossipKeyringInstallCommand() command {
	return gossipKeyCommand("install", "Give all servers another key, which they can read by", api.Agent.InstallKey)
}

func gossipKeyringUseCommand() command {
	return gossipKeyCommand("use", "Have all servers encrypt by a key that is installed", api.Agent.UseKey)
}

func gossipKeyringRemoveCommand() command {
	return gossipKeyCommand("remove", "Have all servers forget a key that is not used", api.Agent.RemoveKey)
}

func gossipKeyCommand(verb, summary string, change func(api.Agent, context.Context, nomadish.SecretText) (*nomadish.KeyringResponse, error)) command {
	return command{
		words: "operator gossip keyring " + verb, args: "KEY", summary: summary,
		help: "  KEY is in base64, as \"operator gossip keyring generate\" makes it, or - to read it from the standard input, where\n" +
			"  no other user of the machine sees it. To change keys: install a new one, use it, remove the old one. A server that\n" +
			"  does not answer could not read the others any more: while there is one, keys are not used or removed.",
		example: "  nomadish operator gossip keyring " + verb + " HvpEuV0wq1fDzgWzNo/e8w7v2c2tmgjoKYXJTUzUEkc=",
		run: func(ctx context.Context, c *call) error {
			c.remoteFlags()
			client, err := c.dial(1, 1)
			if err != nil {
				return err
			}
			defer client.Close()
			key, err := c.secretArg(c.args[0])
			if err != nil {
				return err
			}
			keys, err := change(client.Agent(), ctx, key)
			if err != nil {
				return err
			}
			return silentServers(keys)
		},
	}
}

// secretArg returns an argument, or the first bytes of the standard input where it is "-".
func (c *call) secretArg(arg string) (nomadish.SecretText, error) {
	if arg != "-" {
		return nomadish.SecretText(arg), nil
	}
	text, err := io.ReadAll(io.LimitReader(c.Stdin, maxSecretArg))
	if err != nil {
		return "", err
	}
	return nomadish.SecretText(strings.TrimSpace(string(text))), nil
}

// maxSecretArg bounds a secret that the standard input holds.
const maxSecretArg = 4 << 10
