package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/recovery"
)

func recoveryKeyCommand() command {
	return command{
		words: "operator root recovery-key", summary: "Show which recovery key the cluster has, or make a new one",
		help: `  The recovery key opens the cluster's keyring when all copies of the wrapping key are lost: "operator snapshot
  restore" and "operator root unlock" ask for it. "nomadish init" prints one. With -new another one is made here and
  shown, this once; the servers get its public half alone, and the former one opens nothing any more but
  snapshots that were saved before. Who has a recovery key and a snapshot can read all secrets in it.`,
		example: "  nomadish operator root recovery-key\n  nomadish operator root recovery-key -new",
		reads:   true, run: runRecoveryKey,
	}
}

// recoveryKeyShown is what the command tells programs.
type recoveryKeyShown struct {
	ID         string
	CreateTime int64
	Key        string `json:",omitempty"` // of a new one
}

func runRecoveryKey(ctx context.Context, c *call) error {
	c.readFlags()
	anew := c.flags.Bool("new", false, "make a new recovery key and show it; the former one is good no more")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	now, err := client.Keyring().Recovery(ctx, nil)
	if err != nil {
		return err
	}
	if *anew {
		made, text, err := newRecoveryKey(ctx, client, now)
		if err != nil {
			return err
		}
		out := recoveryKeyShown{made.ID, made.CreateTime, text.Reveal()}
		return c.show(out, func(p *page) { recoveryPage(p, text, made.ID) })
	}
	if now == nil {
		return errors.New("this cluster has no recovery key.\n\nMake one with \"nomadish operator root recovery-key -new\"")
	}
	return c.show(recoveryKeyShown{ID: now.ID, CreateTime: now.CreateTime}, func(p *page) {
		p.fields([2]string{"ID", now.ID}, [2]string{"Created", utc(now.CreateTime)})
	})
}

// newRecoveryKey makes a recovery key in place of the former one. Its secret half stays in this process.
func newRecoveryKey(ctx context.Context, client *api.Client, former *nomadish.RecoveryKey) (*nomadish.RecoveryKey, nomadish.SecretText, error) {
	key, err := recovery.New()
	if err != nil {
		return nil, "", err
	}
	req := &nomadish.RecoveryKeyRequest{Public: key.Public()}
	if former != nil {
		req.Former = former.ID
	}
	made, err := client.Keyring().SetRecovery(ctx, req)
	if err != nil {
		return nil, "", fmt.Errorf("recovery key: %w", err)
	}
	return made, key.Text(), nil
}

// recoveryPage shows a new recovery key.
func recoveryPage(p *page, text nomadish.SecretText, id string) {
	p.title("Recovery key %s. Write it down and keep it apart from the cluster and its backups; it is not shown again:", id)
	p.line("  %s", text.Reveal())
	p.line("It opens the cluster's secrets when the servers' wrapping key is lost.")
}

// recoveryFlag lets a command be given the recovery key; never as an argument, which others could see.
func (c *call) recoveryFlag() *string {
	return c.flags.String("recovery-key", "", "`file` that holds the recovery key, or - for standard input; default: it is asked for on the terminal, if it is needed")
}

// errNoTerminal says that nobody can be asked.
var errNoTerminal = errors.New("there is no terminal to ask for the recovery key on.\n\nName a file that holds it with -recovery-key, or - for standard input")

// recoveryKey reads the recovery key from a file, or from the terminal without showing it.
func (c *call) recoveryKey(file string) (*recovery.Key, error) {
	if file != "" {
		text, err := c.readText(file)
		if err != nil {
			return nil, err
		}
		defer clear(text)
		return recovery.Parse(nomadish.SecretText(text))
	}
	in, ok := c.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, errNoTerminal
	}
	fmt.Fprint(c.Stderr, "Recovery key: ")
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(c.Stderr)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return recovery.Parse(nomadish.SecretText(text))
}

// wantsRecoveryKey says whether servers could go on with the recovery key.
func wantsRecoveryKey(err error) bool {
	return err != nil && nomadish.KindOf(err) == nomadish.KindConflict && strings.Contains(err.Error(), nomadish.NeedsRecoveryKey)
}

func rootUnlockCommand() command {
	return command{
		words: "operator root unlock", summary: "Give a server the recovery key, when the servers' wrapping key is lost",
		help: `  For servers that still have their state, and neither the file server/keyring/wrap.key nor the service that has
  wrapped their root keys. Run it on the machine of one server; its agent may run, or be started then. The server
  opens the root keys, wraps them with its own wrapping key (a new file, or what its keyring block names),
  and removes the recovery key again; other servers that lack the file get it from that one.`,
		example: "  nomadish operator root unlock -data-dir /var/lib/nomadish",
		run:     runRootUnlock,
	}
}

func runRootUnlock(ctx context.Context, c *call) error {
	dir := c.flags.String("data-dir", systemData, "the agent's data `directory`")
	wait := c.flags.Duration("wait", 30*time.Second, "`time` in which the server is to take the key; 0: do not wait")
	file := c.recoveryFlag()
	if err := c.parse(0, 0); err != nil {
		return err
	}
	key, err := c.recoveryKey(*file)
	if err != nil {
		return err
	}
	given, err := agent.GiveRecoveryKey(*dir, key)
	if err != nil {
		return err
	}
	wanted := func() bool { _, err := os.Stat(given); return !errors.Is(err, fs.ErrNotExist) }
	late, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	for wanted() {
		if lifecycle.Sleep(late, 200*time.Millisecond) != nil {
			return c.print("The recovery key is in %s, until the server has used it. If its agent runs, its log says what is amiss;\n"+
				"remove the file if it is not to be used.\n", given)
		}
	}
	return c.print("The server has opened its keyring, and has no need of the recovery key any more.\n")
}
