package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// contextEntry is a cluster as the user's file of contexts knows it.
type contextEntry struct {
	Address   string
	Region    string              `json:",omitempty"`
	Namespace string              `json:",omitempty"`
	CACert    string              `json:",omitempty"` // a file beside this one, or anywhere
	Host      string              `json:",omitempty"` // that the certificate must name; default: that of Address
	Token     nomadish.SecretText `json:",omitempty"`
}

// contexts is what the user's file of contexts holds.
type contexts struct {
	Current  string
	Contexts map[string]*contextEntry

	dir string // of the file; empty: there is nowhere to keep it
}

const contextsFile = "contexts.json"

// userDir is where the user's files of this program are; empty without a home.
func (c *call) userDir() string {
	if dir, ok := c.lookup("XDG_CONFIG_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "nomadish")
	}
	if home, ok := c.lookup("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "nomadish")
	}
	return ""
}

// contexts reads the user's file of contexts. One that others may read is refused: it holds tokens.
func (c *call) contexts() (*contexts, error) {
	all := &contexts{Contexts: map[string]*contextEntry{}, dir: c.userDir()}
	if all.dir == "" {
		return all, nil
	}
	path := filepath.Join(all.dir, contextsFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("contexts: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("contexts: %s holds tokens and can be read by others (mode %#o): make it 0600", path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("contexts: %w", err)
	}
	if err := json.Unmarshal(text, all); err != nil {
		return nil, fmt.Errorf("contexts: %s: %w", path, err)
	}
	if all.Contexts == nil {
		all.Contexts = map[string]*contextEntry{}
	}
	for _, p := range all.Contexts {
		if p.CACert != "" && !filepath.IsAbs(p.CACert) {
			p.CACert = filepath.Join(all.dir, p.CACert)
		}
	}
	return all, nil
}

// write stores the contexts, whole or not at all.
func (all *contexts) write() error {
	if all.dir == "" {
		return errors.New("contexts: there is no home directory to keep them in: set HOME")
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	return writeUserFile(filepath.Join(all.dir, contextsFile), append(text, '\n'))
}

// writeUserFile replaces a file that nobody but the user may read.
func writeUserFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// keep stores a context under a name, with the authorities that it trusts, and makes it the current one.
func (all *contexts) keep(name string, p *contextEntry, authorities []byte) error {
	if !contextName.MatchString(name) {
		return fmt.Errorf("context %q: a name is letters, digits, dots, dashes and underscores, at most 63", name)
	}
	if len(authorities) > 0 {
		if all.dir == "" {
			return errors.New("contexts: there is no home directory to keep them in: set HOME")
		}
		p.CACert = filepath.Join(all.dir, name+".ca.pem")
		if err := writeUserFile(p.CACert, authorities); err != nil {
			return fmt.Errorf("context %s: %w", name, err)
		}
	}
	all.Contexts[name], all.Current = p, name
	return all.write()
}

// context returns the context that counts: the one that is asked for, or the current one, unless flags or
// environment name a server: what is known of one cluster is told to no other.
func (c *call) context() (*contextEntry, error) {
	name, asked := c.remote.context, c.remote.context != ""
	if !asked {
		name, asked = c.lookup("NOMADISH_CONTEXT")
		asked = asked && name != ""
	}
	if !asked {
		cfg, err := api.FromEnvironment(c.lookup)
		if err != nil || cfg.Address != "" || c.remote.address != "" {
			return nil, nil //nolint:nilerr // who reads the environment next says what is wrong with it
		}
	}
	all, err := c.contexts()
	if err != nil {
		return nil, err
	}
	p := all.Contexts[cmp.Or(name, all.Current)]
	if p == nil && asked {
		return nil, errNoContext(name)
	}
	return p, nil
}

// fill puts what a context says where environment and flags say nothing.
func (p *contextEntry) fill(cfg *api.Config) {
	cfg.Address = cmp.Or(cfg.Address, p.Address)
	cfg.Region = cmp.Or(cfg.Region, p.Region)
	cfg.Namespace = cmp.Or(cfg.Namespace, p.Namespace)
	cfg.Token = cmp.Or(cfg.Token, p.Token)
	if cfg.TLS.CACert == "" && cfg.TLS.CAPath == "" {
		cfg.TLS.CACert = p.CACert
	}
	cfg.TLS.ServerName = cmp.Or(cfg.TLS.ServerName, p.Host)
}

func contextListCommand() command {
	return command{
		words: "context list", summary: "List the clusters that this user's commands know",
		help: `  A context is where a cluster is, whose certificates to trust, and a token. Commands use the
  current one unless -address or $NOMAD_ADDR names a server; -context or $NOMADISH_CONTEXT names
  another. They are in ~/.config/nomadish, for this user alone.`,
		example: "  nomadish context list",
		reads:   true, run: runContextList,
	}
}

// shownContext is a context in a list. It shows no token.
type shownContext struct {
	Name, Address, Region, Namespace, CACert string
	Current, HasToken                        bool
}

func (all *contexts) shown() []shownContext {
	out := []shownContext{}
	for _, name := range slices.Sorted(maps.Keys(all.Contexts)) {
		p := all.Contexts[name]
		out = append(out, shownContext{name, p.Address, p.Region, p.Namespace, p.CACert, name == all.Current, p.Token != ""})
	}
	return out
}

func runContextList(_ context.Context, c *call) error {
	c.outputFlags()
	if err := c.parse(0, 0); err != nil {
		return err
	}
	all, err := c.contexts()
	if err != nil {
		return err
	}
	rows := all.shown()
	return c.show(rows, func(p *page) {
		if len(rows) == 0 {
			p.line("There is no context. \"nomadish init\" makes one, and so does \"nomadish context set\".")
			return
		}
		table := make([][]string, len(rows))
		for i, r := range rows {
			table[i] = []string{mark(r.Current), r.Name, r.Address, r.Region, yesNo(r.HasToken)}
		}
		p.table([]string{"", "Name", "Address", "Region", "Token"}, table)
	})
}

func mark(on bool) string {
	if on {
		return "*"
	}
	return ""
}

func contextShowCommand() command {
	return command{
		words: "context show", args: "[NAME]", summary: "Show a context, by default the current one, without its token",
		example: "  nomadish context show -t '{{.Address}}'",
		reads:   true, run: runContextShow,
	}
}

func runContextShow(_ context.Context, c *call) error {
	c.outputFlags()
	if err := c.parse(0, 1); err != nil {
		return err
	}
	all, err := c.contexts()
	if err != nil {
		return err
	}
	name := all.Current
	if len(c.args) == 1 {
		name = c.args[0]
	}
	for _, r := range all.shown() {
		if r.Name == name {
			return c.show(r, func(p *page) {
				p.fields([2]string{"Name", r.Name}, [2]string{"Address", r.Address}, [2]string{"Region", r.Region},
					[2]string{"Namespace", r.Namespace}, [2]string{"CA", r.CACert}, [2]string{"Token", yesNo(r.HasToken)}, [2]string{"Current", yesNo(r.Current)})
			})
		}
	}
	return errNoContext(name)
}

// contextsWithNamed returns the contexts, among which is the one that the argument names.
func (c *call) contextsWithNamed() (*contexts, error) {
	if err := c.parse(1, 1); err != nil {
		return nil, err
	}
	all, err := c.contexts()
	if err == nil && all.Contexts[c.args[0]] == nil {
		err = errNoContext(c.args[0])
	}
	return all, err
}

func errNoContext(name string) error {
	return fmt.Errorf("there is no context %q: \"nomadish context list\" shows those that there are", name)
}

func contextUseCommand() command {
	return command{words: "context use", args: "NAME", summary: "Make a context the current one", example: "  nomadish context use prod", run: runContextUse}
}

func runContextUse(_ context.Context, c *call) error {
	all, err := c.contextsWithNamed()
	if err != nil {
		return err
	}
	all.Current = c.args[0]
	return all.write()
}

func contextSetCommand() command {
	return command{
		words: "context set", args: "NAME", summary: "Make a context, or change one, and make it the current one",
		help: `  It takes over what the flags say: -address, -region, -namespace, -ca-cert and -token. A token
  is better given on standard input with -token-stdin, which no process list shows.`,
		example: "  nomadish context set prod -address https://10.0.0.5:4646 -ca-cert ca.pem -token-stdin <token",
		run:     runContextSet,
	}
}

func runContextSet(_ context.Context, c *call) error {
	c.remoteFlags()
	stdin := c.flags.Bool("token-stdin", false, "read the token from standard input")
	if err := c.parse(1, 1); err != nil {
		return err
	}
	all, err := c.contexts()
	if err != nil {
		return err
	}
	p := cmp.Or(all.Contexts[c.args[0]], &contextEntry{})
	r := &c.remote
	p.Address, p.Region, p.Namespace = cmp.Or(r.address, p.Address), cmp.Or(r.region, p.Region), cmp.Or(r.namespace, p.Namespace)
	p.Token = cmp.Or(nomadish.SecretText(r.token), p.Token)
	if *stdin {
		text, err := c.readText("-")
		if err != nil {
			return err
		}
		p.Token = nomadish.SecretText(bytes.TrimSpace(text))
	}
	var authorities []byte
	if r.tls.CACert != "" {
		if authorities, err = os.ReadFile(r.tls.CACert); err != nil {
			return err
		}
	}
	if p.Address == "" {
		return c.misused("-address must be given for a new context")
	}
	return all.keep(c.args[0], p, authorities)
}

func contextDeleteCommand() command {
	return command{words: "context delete", args: "NAME", summary: "Forget a context", example: "  nomadish context delete old", run: runContextDelete}
}

func runContextDelete(_ context.Context, c *call) error {
	all, err := c.contextsWithNamed()
	if err != nil {
		return err
	}
	delete(all.Contexts, c.args[0])
	if all.Current == c.args[0] {
		all.Current = ""
	}
	return all.write()
}
