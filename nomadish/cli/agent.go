package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// many is a flag that may be given several times.
type many []string

func (m *many) String() string     { return strings.Join(*m, ",") }
func (m *many) Set(s string) error { *m = append(*m, s); return nil }

// agentFlags are the flags of the agent command.
type agentFlags struct {
	configs, servers, meta many
	join, retryJoin        many
	retryInterval, encrypt string
	retryMax               int
	rejoin                 bool
	dev, logJSON, acl      bool
	server, client         bool
	node, region, dc, dir  string
	bind, logLevel         string
	nodeClass, nodePool    string
	bootstrapExpect        int

	quiet  bool           // say nothing but what is logged
	beside lifecycle.Part // runs beside the agent; nil: nothing does
}

func agentCommand() command {
	return command{
		words: "agent", summary: "Run an agent: a server, a client node, or both",
		example: "  nomadish agent -dev",
		exits: `  0   it was told to end
  1   it could not start, or not go on; standard error says why
  3   the disk of its server failed, or does not hold what was written to it; standard error says which file
  64  the command line is wrong`,
		help: `  With -dev it is both, keeps its data in a directory that it removes at the end, and
  listens on loopback alone. Otherwise configuration files say what it is; flags win over them.

  SIGHUP has it read its files again. What takes effect then: log_level, acl.replication_token, and
  the files that the tls block names. Of other keys that have changed the log tells that they need a restart;
  a restart leaves tasks running.`,
		run: runAgent,
	}
}

func (f *agentFlags) register(c *call) {
	c.flags.Var(&f.configs, "config", "configuration `file` or directory, HCL or JSON; may be repeated")
	c.flags.BoolVar(&f.dev, "dev", false, "run a server and a client that last until the agent ends")
	c.flags.BoolVar(&f.acl, "acl-enabled", false, "control access: requests need tokens, the first of which \"acl bootstrap\" makes")
	c.flags.StringVar(&f.node, "node", "", "the agent's `name`; default: the host's")
	c.flags.StringVar(&f.region, "region", "", "the agent's region; default global")
	c.flags.StringVar(&f.dc, "dc", "", "the agent's datacenter; default dc1")
	c.flags.StringVar(&f.dir, "data-dir", "", "where data is kept; required without -dev")
	c.flags.StringVar(&f.bind, "bind", "", "`address` to listen on; default 0.0.0.0")
	c.flags.StringVar(&f.logLevel, "log-level", "", "trace, debug, info, warn or error; default info")
	c.flags.BoolVar(&f.logJSON, "log-json", false, "write the log as JSON")
	c.flags.BoolVar(&f.server, "server", false, "be a server")
	c.flags.BoolVar(&f.client, "client", false, "be a client node")
	c.flags.IntVar(&f.bootstrapExpect, "bootstrap-expect", 0, "servers to wait for before the first election")
	c.flags.Var(&f.join, "join", "`address` of another server to join at the start; may be repeated")
	c.flags.Var(&f.retryJoin, "retry-join", "the same, tried again until one answers")
	c.flags.IntVar(&f.retryMax, "retry-max", 0, "`attempts` at -retry-join after which the agent ends; 0: without end")
	c.flags.StringVar(&f.retryInterval, "retry-interval", "", "`time` between attempts; default 30s, and less at first")
	c.flags.BoolVar(&f.rejoin, "rejoin", false, "join the servers that were known before this one left")
	c.flags.StringVar(&f.encrypt, "encrypt", "", "`key` of the servers' gossip, in base64")
	c.flags.Var(&f.servers, "servers", "`address` of a server for the client; may be repeated")
	c.flags.StringVar(&f.nodeClass, "node-class", "", "class of the client node")
	c.flags.StringVar(&f.nodePool, "node-pool", "", "pool of the client node")
	c.flags.Var(&f.meta, "meta", "`key=value` of the client node; may be repeated")
}

// apply puts the flags over what files say.
func (f *agentFlags) apply(file *agent.File) error {
	set := func(field **string, value string) {
		if value != "" {
			*field = &value
		}
	}
	set(&file.Name, f.node)
	set(&file.Region, f.region)
	set(&file.Datacenter, f.dc)
	set(&file.DataDir, f.dir)
	set(&file.BindAddr, f.bind)
	set(&file.LogLevel, f.logLevel)
	if f.logJSON {
		file.LogJSON = nomadish.Ptr(true)
	}
	if f.acl {
		file.ACL = or(file.ACL)
		file.ACL.Enabled = nomadish.Ptr(true)
	}
	if f.server || f.bootstrapExpect > 0 || f.dev {
		file.Server = or(file.Server)
		file.Server.Enabled = nomadish.Ptr(true)
		if f.bootstrapExpect > 0 {
			file.Server.BootstrapExpect = &f.bootstrapExpect
		}
	}
	f.joins(file)
	if f.client || f.dev {
		file.Client = or(file.Client)
		file.Client.Enabled = nomadish.Ptr(true)
	}
	if file.Client == nil {
		return nil
	}
	file.Client.Servers = append(file.Client.Servers, f.servers...)
	set(&file.Client.NodeClass, f.nodeClass)
	set(&file.Client.NodePool, f.nodePool)
	for _, pair := range f.meta {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return fmt.Errorf("-meta: want key=value, got %q", pair)
		}
		if file.Client.Meta == nil {
			file.Client.Meta = map[string]string{}
		}
		file.Client.Meta[key] = value
	}
	return nil
}

// joins puts over the server block which servers are joined.
func (f *agentFlags) joins(file *agent.File) {
	if len(f.join)+len(f.retryJoin)+f.retryMax+len(f.retryInterval)+len(f.encrypt) == 0 && !f.rejoin {
		return
	}
	file.Server = or(file.Server)
	s := file.Server
	start, retry, most, interval := &s.StartJoin, &s.RetryJoin, &s.RetryMax, &s.RetryInterval
	if j := s.ServerJoin; j != nil { // they are in one place or the other
		start, retry, most, interval = &j.StartJoin, &j.RetryJoin, &j.RetryMax, &j.RetryInterval
	}
	*start, *retry = append(*start, f.join...), append(*retry, f.retryJoin...)
	if f.retryMax > 0 {
		*most = &f.retryMax
	}
	if f.retryInterval != "" {
		*interval = &f.retryInterval
	}
	if f.encrypt != "" {
		s.Encrypt = &f.encrypt
	}
	if f.rejoin {
		s.RejoinAfterLeave = &f.rejoin
	}
}

// or makes the block where no file has it.
func or[T any](block *T) *T {
	if block == nil {
		return new(T)
	}
	return block
}

func runAgent(ctx context.Context, c *call) error {
	f := &agentFlags{}
	f.register(c)
	if err := c.parse(0, 0); err != nil {
		return err
	}
	err := f.run(ctx, c)
	if errors.Is(err, agent.ErrDisk) {
		return &exit{code: exitDisk, err: err}
	}
	return err
}

// exitDisk is the code of an agent whose server's disk failed: starting it again does not help.
const exitDisk = 3

// run runs the agent until ctx ends.
func (f *agentFlags) run(ctx context.Context, c *call) error {
	file, warnings, err := f.read()
	if err != nil {
		return err
	}
	logger, level, err := newLogger(c.Stderr, nomadish.Val(file.LogLevel), nomadish.Val(file.LogJSON))
	if err != nil {
		return err
	}
	again := &reloader{flags: f, file: *file, level: level, logger: logger}
	for _, w := range warnings {
		logger.Warn("configuration", "warning", w)
	}
	if f.dev {
		remove, err := devDefaults(file)
		if err != nil {
			return err
		}
		defer remove()
	}
	cfg, err := agentConfig(c, file, f.dev, logger)
	if err != nil {
		return err
	}
	if cfg.Server != nil {
		cfg.Parts = append(cfg.Parts, collectSeldom(c.Env))
	}
	a, err := agent.New(cfg)
	if err != nil {
		return err
	}
	again.certs, again.token = a.Reload, a.SetReplicationToken
	defer again.listen()()
	if !f.quiet {
		fmt.Fprintf(c.Stdout, "==> nomadish %s: API at %s://%s\n", c.Version, protocol(&cfg), a.Addr())
	}
	if err := tellManager(c.Env, "READY=1"); err != nil {
		logger.Warn("the service manager is not told", "err", err)
	}
	run := a.Run
	if f.beside != nil {
		run = func(ctx context.Context) error { return lifecycle.Run(ctx, a.Run, f.beside) }
	}
	err = again.during(ctx, run)
	logger.Info("agent ended")
	return err
}

// protocol is that of an agent's API.
func protocol(cfg *agent.Config) string {
	if cfg.TLS != nil || cfg.PeerTLS != nil && cfg.PeerTLS.Managed {
		return "https"
	}
	return "http"
}

// devDefaults fills in what -dev means where files and flags do not say.
func devDefaults(file *agent.File) (remove func(), err error) {
	if file.BindAddr == nil {
		file.BindAddr = nomadish.Ptr("127.0.0.1")
	}
	if file.Server.BootstrapExpect == nil {
		file.Server.BootstrapExpect = nomadish.Ptr(1)
	}
	if file.DataDir != nil {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "nomadish-dev-")
	if err != nil {
		return nil, err
	}
	file.DataDir = &dir
	return func() { _ = os.RemoveAll(dir) }, nil // what cannot be removed lies in the system's temporary directory
}

func agentConfig(c *call, file *agent.File, dev bool, logger *slog.Logger) (agent.Config, error) {
	cfg, err := file.Config()
	if err != nil {
		return cfg, err
	}
	if cfg.DataDir == "" {
		return cfg, errors.New("data_dir: must be set: -data-dir, or data_dir in a configuration file")
	}
	cfg.Version, cfg.Logger, cfg.Discovery = c.Version, logger, c.finder()
	cfg.Show = shown(file)
	cfg.Debug = cfg.Debug || dev
	if cfg.Server != nil {
		cfg.Server.GC.Emptied = debug.FreeOSMemory // this process is the agent's alone
		if dev {
			cfg.Server.Consensus.Reserve = -1 // its directory may be in memory, and does not last
		}
	}
	if cfg.Client == nil {
		return cfg, nil
	}
	if dev {
		cfg.Client.StopTasksOnShutdown = true
		cfg.Client.Fingerprint.Loopback = true
	}
	cfg.Drivers, cfg.Parts, err = c.Drivers(cfg.DataDir, file, dev, logger)
	return cfg, err
}

// shown is what /v1/agent/self tells of the configuration besides what every agent knows.
func shown(file *agent.File) map[string]any {
	return map[string]any{
		"LogLevel": nomadish.Val(file.LogLevel), "BindAddr": nomadish.Val(file.BindAddr),
		"EnableDebug": nomadish.Val(file.EnableDebug),
	}
}

// logLevel reads a log_level.
func logLevel(text string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"": slog.LevelInfo, "trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
		"warn": slog.LevelWarn, "error": slog.LevelError, "off": slog.LevelError + 4,
	}
	l, ok := levels[strings.ToLower(text)]
	if !ok {
		return 0, fmt.Errorf("log_level: %q is none of trace, debug, info, warn, error, off", text)
	}
	return l, nil
}

// newLogger returns a logger, and what its level can be changed by.
func newLogger(w io.Writer, level string, asJSON bool) (*slog.Logger, *slog.LevelVar, error) {
	l, err := logLevel(level)
	if err != nil {
		return nil, nil, err
	}
	at := &slog.LevelVar{}
	at.Set(l)
	opts := &slog.HandlerOptions{Level: at}
	if asJSON {
		return slog.New(agent.NewMonitor(slog.NewJSONHandler(w, opts))), at, nil
	}
	return slog.New(agent.NewMonitor(slog.NewTextHandler(w, opts))), at, nil
}
