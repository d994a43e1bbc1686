package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

func initCommand() command {
	return command{
		words: "init", summary: "Make a secured cluster of this machine, which others can join",
		help: `  The machine becomes a server and a client node; with -server-only a server alone. It gets a
  certificate authority of its own, encrypted gossip, access control that lets in nobody without
  a token, and a first token, which is kept in this user's context: commands work at once. The commands
  that add other machines are printed, each with a join token that is good once, for an hour, and so is the recovery
  key, this once: with it backups can be read when all servers are lost.

  Where systemd runs and the package is installed the agent runs as its service, else in this process.
  To run it again does no harm: it goes on where it ended, and prints new join commands.`,
		example: `  nomadish init
  nomadish init -bind 10.0.0.5 -server-only`,
		reads: true, run: runInit,
	}
}

// founded is what init tells programs.
type founded struct {
	Address, Region, Context, Config, DataDir, CA string
	JoinServer, JoinClient                        string // command lines; they hold secrets
	RecoveryKey                                   string `json:",omitempty"` // where this run has made it
	Steps                                         []string
}

func runInit(ctx context.Context, c *call) error {
	s := &setup{c: c}
	s.register()
	c.outputFlags()
	region := c.flags.String("region", nomadish.DefaultRegion, "region of the cluster")
	dc := c.flags.String("dc", "dc1", "datacenter of this machine")
	alone := c.flags.Bool("server-only", false, "be a server, and no client node")
	if err := c.parse(0, 0); err != nil {
		return err
	}
	if err := s.places(); err != nil {
		return err
	}
	there, err := s.look()
	if err != nil {
		return err
	}
	if there == oursThere {
		s.tell("%s is there already", s.config())
		if err := s.readopt(); err != nil {
			return err
		}
	}
	if there == packageThere {
		if err := s.stopPackaged(ctx); err != nil {
			return err
		}
	}
	if s.answers(ctx) != nil { // one that runs has all of this, and its data directory for itself
		made, err := agent.Found(agent.Place{DataDir: s.dataDir, Region: *region, Name: s.name, Addrs: s.addrs()})
		if err != nil {
			return s.occupied(err)
		}
		if made {
			s.tell("made a certificate authority, and a certificate for this server, in %s", agent.Certificates(s.dataDir).Dir)
		}
	}
	if there != oursThere {
		if err := s.writeConfig(s.serverConfig(*region, *dc, !*alone)); err != nil {
			return err
		}
	}
	if s.filesOnly {
		s.tell("start the agent with \"nomadish agent -config %s\", then run \"nomadish init\" again for the first token", s.configDir)
	}
	return s.run(ctx, func(ctx context.Context) error { return s.finishInit(ctx, *region) })
}

// occupied explains that another agent runs on the data.
func (s *setup) occupied(err error) error {
	if strings.Contains(err.Error(), "in use by another agent") {
		return fmt.Errorf("%w\n\nAn agent runs on this data: stop it first (\"systemctl stop nomadish\"); its tasks go on", err)
	}
	return err
}

// serverConfig is the configuration of the first server.
func (s *setup) serverConfig(region, dc string, client bool) string {
	var b strings.Builder
	s.common(&b, "init", region, dc)
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	fmt.Fprintf(&b, "\n# Requests need tokens.\nacl {\n  enabled = true\n}\n\nserver {\n  enabled          = true\n  bootstrap_expect = 1\n  encrypt          = %q\n}\n",
		base64.StdEncoding.EncodeToString(key))
	if client {
		b.WriteString("\nclient {\n  enabled = true\n}\n")
	}
	return b.String()
}

// finishInit does what needs a running server: the first token, the user's context, join tokens.
func (s *setup) finishInit(ctx context.Context, region string) error {
	if err := s.leader(ctx); err != nil {
		return err
	}
	token, name, err := s.firstToken(ctx, region)
	if err != nil {
		return err
	}
	client, err := s.client(token)
	if err != nil {
		return err
	}
	defer client.Close()
	out := founded{
		Address: s.address(), Region: region, Context: name, Config: s.config(), DataDir: s.dataDir, CA: agent.Certificates(s.dataDir).Authorities(),
	}
	to := net.JoinHostPort(s.outward(), strconv.Itoa(s.rpcPort))
	for role, line := range map[string]*string{"server": &out.JoinServer, "client": &out.JoinClient} {
		made, err := client.Authorities().CreateJoinToken(ctx, &nomadish.JoinTokenRequest{Role: role})
		if err != nil {
			return fmt.Errorf("join token: %w", err)
		}
		*line = "nomadish join " + made.Text.Reveal() + " " + to
	}
	recoveryKey, err := s.firstRecoveryKey(ctx, client)
	if err != nil {
		return err
	}
	out.RecoveryKey, out.Steps = recoveryKey.Reveal(), s.steps
	return s.c.show(out, func(p *page) { s.welcome(p, &out) })
}

func (s *setup) welcome(p *page, out *founded) {
	p.title("This machine is a secured cluster. Your commands use it (context %s):", out.Context)
	p.line("  nomadish node status\n  nomadish run nginx:1.27 -port 8080:80")
	p.title("To add a client node, run there (good once, for an hour):")
	p.line("  %s", out.JoinClient)
	p.title("To add a server, of which there should be three or five:")
	p.line("  %s", out.JoinServer)
	p.line("\"nomadish join-token create\" makes more.")
	if out.RecoveryKey == "" {
		return
	}
	p.title("Recovery key. Write it down and keep it apart from this cluster and its backups; it is not shown again:")
	p.line("  %s", out.RecoveryKey)
	p.line("It opens the secrets in backups when all servers are lost.")
}

// firstRecoveryKey makes the cluster's recovery key, unless it has one: then nobody can show it.
func (s *setup) firstRecoveryKey(ctx context.Context, client *api.Client) (nomadish.SecretText, error) {
	now, err := client.Keyring().Recovery(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("recovery key: %w", err)
	}
	if now != nil {
		s.tell("the cluster has a recovery key since %s; \"nomadish operator root recovery-key -new\" makes another", utc(now.CreateTime))
		return "", nil
	}
	_, text, err := newRecoveryKey(ctx, client, nil)
	return text, err
}

// leader waits until the server leads and can sign certificates.
func (s *setup) leader(ctx context.Context) error {
	client, err := s.client("")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerLate)
	defer cancel()
	for {
		known, _, err := client.Authorities().Trusted(ctx, nil)
		if err == nil && len(known.Authorities) > 0 {
			return nil
		}
		if lifecycle.Sleep(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the server does not lead its cluster: %w\n\nIts log says what it waits for", cmp.Or(err, errors.New("it has no certificate authority")))
		}
	}
}

// firstToken makes the cluster's first token and keeps it in the user's context. Where there was one
// already, the context has to have it.
func (s *setup) firstToken(ctx context.Context, region string) (nomadish.SecretText, string, error) {
	all, err := s.c.contexts()
	if err != nil {
		return "", "", err
	}
	for name, p := range all.Contexts {
		if p.Address == s.address() && p.Token != "" && s.good(ctx, p.Token) {
			if s.contextName == "" || s.contextName == name {
				return p.Token, name, nil
			}
		}
	}
	bare, err := s.client("")
	if err != nil {
		return "", "", err
	}
	defer bare.Close()
	token, err := s.bootstrapACL(ctx, bare)
	if err != nil {
		if m := bootstrapped.FindStringSubmatch(err.Error()); m != nil {
			return "", "", fmt.Errorf("the cluster's first token was made before, and no context of this user's has one that is good.\n\n"+
				"Run this as the user who has it, or keep one with \"nomadish context set NAME -address %s -ca-cert %s -token-stdin\".\n"+
				"If it is lost, write %s into %s/server/acl-bootstrap-reset and run this again", s.address(), agent.Certificates(s.dataDir).Authorities(), m[1], s.dataDir)
		}
		return "", "", err
	}
	authorities, err := os.ReadFile(agent.Certificates(s.dataDir).Authorities())
	if err != nil {
		return "", "", err
	}
	name := cmp.Or(s.contextName, region)
	if err := all.keep(name, &contextEntry{Address: s.address(), Host: ownName, Token: token.SecretID}, authorities); err != nil {
		return "", "", fmt.Errorf("keep the first token: %w", err)
	}
	s.tell("made the first token, which may do everything, and kept it in the context %s", name)
	return token.SecretID, name, nil
}

// good says whether a token is still one of the cluster's.
func (s *setup) good(ctx context.Context, token nomadish.SecretText) bool {
	client, err := s.client(token)
	if err != nil {
		return false
	}
	defer client.Close()
	_, _, err = client.ACL().OwnToken(ctx, nil)
	return err == nil
}

// bootstrapACL makes the first token, as soon as the keyring is there.
func (s *setup) bootstrapACL(ctx context.Context, client *api.Client) (*nomadish.ACLToken, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLate)
	defer cancel()
	for {
		token, err := client.ACL().Bootstrap(ctx, "")
		if err == nil || nomadish.KindOf(err) != nomadish.KindNoLeader || lifecycle.Sleep(ctx, 200*time.Millisecond) != nil {
			return token, err
		}
	}
}
