// Package cli is the command line: one file per command, all of them in the table below.
//
// Commands are written as Nomad's: words, then flags with one dash or two, then arguments.
//
//	code := cli.Run(ctx, cli.Program{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv}, os.Args[1:])
//
// What a command prints for machines (-json, -t) goes to standard output alone. What others
// wrote, such as names and messages, loses its control characters on the way to a person.
package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/discovery"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Exit codes. Commands that follow a job say in their help which of them they use.
const (
	ExitOK      = 0
	ExitFailed  = 1 // it did not work, or what was asked for did not come about
	ExitPartial = 2 // it was accepted and is not complete, such as a job that waits for room
	ExitUsage   = 64
	// ExitDetached is the code when an interrupt ends the watching of what goes on in the cluster.
	ExitDetached = 130
)

// Program is what the main package knows and the command line does not.
type Program struct {
	Version string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Env     func(name string) (string, bool)
	Environ []string         // NAME=value, all: job files take variables from there; default none
	Now     func() time.Time // wall clock; default time.Now
	// Schemas are the options of the task drivers by their names, for explain; nil: none are known.
	Schemas func() map[string]nomadish.ConfigSchema
	// Providers are the cloud providers that retry_join may ask, by their names; nil: none.
	Providers map[string]discovery.Provider
	// Drivers makes the task drivers of an agent, and what has to run beside them. File
	// is its configuration, dev says that it is a throw-away agent.
	Drivers func(dataDir string, file *agent.File, dev bool, logger *slog.Logger) (map[string]drivers.Driver, []lifecycle.Part, error)
}

// command is one line of the table.
type command struct {
	words   string // by which it is called
	args    string // its arguments, for the usage line and for completion: see argumentKind
	summary string
	help    string // more, for -help
	exits   string // exit codes, for -help; default: the usual ones
	example string // for -help
	reads   bool   // it shows something, so it takes -json and -t
	hidden  bool   // programs alone call it
	run     func(ctx context.Context, c *call) error
}

// usualExits are the exit codes of most commands.
const usualExits = `  0   done
  1   failed; standard error says why
  64  the command line is wrong`

// as returns the command under a shorter name.
func (c command) as(words string) command {
	c.summary = "Short for " + c.words
	c.words = words
	return c
}

// commands is the table of all commands, in the order of the overview.
func commands() []command {
	return slices.Concat(workCommands(), accessCommands(), clusterCommands())
}

// workCommands are about what runs.
func workCommands() []command {
	return []command{
		agentCommand(),
		jobRunCommand(),
		runCommand(),
		jobPlanCommand(),
		jobPlanCommand().as("plan"),
		jobValidateCommand(),
		jobStatusCommand(),
		jobStopCommand(),
		jobStopCommand().as("stop"),
		jobInspectCommand(),
		jobHistoryCommand(),
		jobRevertCommand(),
		jobScaleCommand(),
		jobScalingEventsCommand(),
		jobTagApplyCommand(),
		jobTagUnsetCommand(),
		jobEvalCommand(),
		jobPeriodicForceCommand(),
		jobAllocsCommand(),
		jobDeploymentsCommand(),
		jobInitCommand(),
		allocStatusCommand(),
		logsCommand(),
		allocLogsCommand(),
		allocFSCommand(),
		allocStopCommand(),
		allocRestartCommand(),
		allocSignalCommand(),
		allocExecCommand(),
		allocStatsCommand(),
		execCommand(),
		portForwardCommand(),
		cpCommand(),
		nodeStatusCommand(),
		imageListCommand(),
		imageLoadCommand(),
		imagePullCommand(),
		imagePushCommand(),
		imageRemoveCommand(),
		evalStatusCommand(),
		statusCommand(),
		eventsCommand(),
		topCommand(),
		monitorCommand(),
	}
}

// accessCommands are about who may do what, and where.
func accessCommands() []command {
	return []command{
		aclBootstrapCommand(),
		aclPolicyApplyCommand(),
		aclPolicyListCommand(),
		aclPolicyInfoCommand(),
		aclPolicyDeleteCommand(),
		aclPolicySelfCommand(),
		aclRoleCreateCommand(),
		aclRoleUpdateCommand(),
		aclRoleInfoCommand(),
		aclRoleListCommand(),
		aclRoleDeleteCommand(),
		aclTokenCreateCommand(),
		aclTokenUpdateCommand(),
		aclTokenInfoCommand(),
		aclTokenListCommand(),
		aclTokenDeleteCommand(),
		aclTokenSelfCommand(),
		aclAuthMethodCreateCommand(),
		aclAuthMethodUpdateCommand(),
		aclAuthMethodInfoCommand(),
		aclAuthMethodListCommand(),
		aclAuthMethodDeleteCommand(),
		aclBindingRuleCreateCommand(),
		aclBindingRuleUpdateCommand(),
		aclBindingRuleInfoCommand(),
		aclBindingRuleListCommand(),
		aclBindingRuleDeleteCommand(),
		loginCommand(),
		authCanICommand(),
		authWhoCanCommand(),
		namespaceApplyCommand(),
		namespaceListCommand(),
		namespaceStatusCommand(),
		namespaceInspectCommand(),
		namespaceDeleteCommand(),
		quotaApplyCommand(),
		quotaListCommand(),
		quotaStatusCommand(),
		quotaInspectCommand(),
		quotaDeleteCommand(),
		quotaInitCommand(),
		nodePoolApplyCommand(),
		nodePoolListCommand(),
		nodePoolInfoCommand(),
		nodePoolDeleteCommand(),
		nodePoolNodesCommand(),
		nodePoolJobsCommand(),
		nodePoolInitCommand(),
	}
}

// clusterCommands are about the cluster itself, and this program.
func clusterCommands() []command {
	return []command{
		tlsCACreateCommand(),
		tlsCertCreateCommand(),
		initCommand(),
		joinCommand(),
		discoverCommand(),
		joinTokenCreateCommand(),
		joinTokenListCommand(),
		joinTokenDeleteCommand(),
		contextListCommand(),
		contextShowCommand(),
		contextUseCommand(),
		contextSetCommand(),
		contextDeleteCommand(),
		operatorCAStatusCommand(),
		operatorCARotateCommand(),
		operatorCARevokeCommand(),
		operatorCARevokedCommand(),
		operatorCAShowCommand(),
		nodeEligibilityCommand(),
		nodeIntroCreateCommand(),
		nodeDrainCommand(),
		nodeIdentityGetCommand(),
		nodeIdentityRenewCommand(),
		nodeMetaApplyCommand(),
		nodeMetaReadCommand(),
		serverMembersCommand(),
		regionsCommand(),
		replicationStatusCommand(),
		serverJoinCommand(),
		serverForceLeaveCommand(),
		gossipKeyringListCommand(),
		gossipKeyringGenerateCommand(),
		gossipKeyringInstallCommand(),
		gossipKeyringUseCommand(),
		gossipKeyringRemoveCommand(),
		agentInfoCommand(),
		systemGCCommand(),
		systemReconcileSummariesCommand(),
		operatorAPICommand(),
		keyringListCommand(),
		keyringRotateCommand(),
		keyringRemoveCommand(),
		recoveryKeyCommand(),
		rootUnlockCommand(),
		snapshotSaveCommand(),
		snapshotRestoreCommand(),
		snapshotInspectCommand(),
		snapshotVerifyCommand(),
		snapshotStateCommand(),
		snapshotListCommand(),
		raftListPeersCommand(),
		raftRemovePeerCommand(),
		raftTransferLeadershipCommand(),
		operatorRecoverCommand(),
		autopilotGetConfigCommand(),
		autopilotSetConfigCommand(),
		autopilotHealthCommand(),
		schedulerGetConfigCommand(),
		schedulerSetConfigCommand(),
		operatorMetricsCommand(),
		operatorAuditCommand(),
		operatorDebugCommand(),
		varPutCommand(),
		varGetCommand(),
		varListCommand(),
		varPurgeCommand(),
		varInitCommand(),
		varLockCommand(),
		explainCommand(),
		fmtCommand(),
		doctorCommand(),
		simCommand(),
		completionCommand(),
		completeCommand(),
		versionCommand(),
	}
}

// call is one run of a command.
type call struct {
	Program
	command command
	flags   *flag.FlagSet
	args    []string // what follows the command's words; once parsed, without flags
	remote  remote   // flags of commands that talk to a server
	output  output   // flags of commands that show something
	probe   bool     // parse ends the run: only the flags are wanted
}

// exit is an error that ends the program with a code.
type exit struct {
	code int
	err  error // nil: everything has been said
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// Run runs the command that args name and returns the program's exit code.
func Run(ctx context.Context, p Program, args []string) int {
	if p.Now == nil {
		p.Now = time.Now
	}
	err := run(ctx, p, args)
	var e *exit
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		if e.err != nil {
			fmt.Fprintln(p.Stderr, describe(e.err))
		}
		return e.code
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return ExitDetached
	}
	fmt.Fprintln(p.Stderr, describe(err))
	return ExitFailed
}

// describe says what went wrong to a person, and what to do where that is known.
func describe(err error) string {
	var file *jobspec.Error
	if errors.As(err, &file) {
		return printable(strings.TrimRight(file.Text(), "\n"))
	}
	text := "Error: " + strings.TrimRight(err.Error(), "\n")
	var request *url.Error
	var untrusted *tls.CertificateVerificationError
	var denied *nomadish.Error
	switch {
	case errors.As(err, &request):
		next := "Start an agent with \"nomadish agent -dev\", or say with NOMAD_ADDR or -address where one runs."
		if errors.As(err, &untrusted) {
			next = "Say with NOMAD_CACERT or -ca-cert which authority's certificates to trust. If the cluster's own authority was replaced,\n" +
				"\"nomadish operator ca show\" on a machine of the cluster prints the new one."
		}
		text = fmt.Sprintf("Error: no answer from %s: %s\n\n%s", origin(request.URL), strings.TrimRight(request.Err.Error(), "\n"), next)
	case errors.As(err, &denied) && strings.TrimSpace(denied.Message) == nomadish.ErrDenied.Message:
		text += "\n\n\"nomadish acl token self\" shows whose token NOMAD_TOKEN or -token gives, if any, \"nomadish auth can-i\" what\n" +
			"it allows. Who manages access finds with \"nomadish auth who-can\" who may do this."
	}
	return printable(text)
}

// origin is the part of a URL that says which server it means.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}

func run(ctx context.Context, p Program, args []string) error {
	if len(args) == 1 && slices.Contains([]string{"-version", "--version", "-v"}, args[0]) {
		args = []string{"version"}
	}
	cmd, rest, ok := find(args)
	if !ok {
		return overview(p, args)
	}
	c := &call{Program: p, command: cmd, args: rest}
	return cmd.run(ctx, c.ready())
}

// find returns the command with the most words that args begin with.
func find(args []string) (best command, rest []string, ok bool) {
	for _, cmd := range commands() {
		words := strings.Fields(cmd.words)
		if len(words) > len(args) || !slices.Equal(words, args[:len(words)]) {
			continue
		}
		if n := len(strings.Fields(best.words)); !ok || len(words) > n {
			best, rest, ok = cmd, args[len(words):], true
		}
	}
	return best, rest, ok
}

// printable drops what could command a terminal or mislead its reader from what others wrote:
// control characters, and those that turn the direction of text around.
func printable(s string) string { return strings.Map(printableRune, s) }

func printableRune(r rune) rune {
	if r == '\n' || r == '\t' || !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r) {
		return r
	}
	return -1
}
