package cli

import (
	"context"
	"flag"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func autopilotGetConfigCommand() command {
	return command{
		words: "operator autopilot get-config", summary: "Show when servers count as healthy",
		example: "  nomadish operator autopilot get-config",
		reads:   true,
		run:     runAutopilotGetConfig,
	}
}

func runAutopilotGetConfig(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	config, err := client.Operator().AutopilotConfig(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(config, func(p *page) {
		p.fields(
			[2]string{"CleanupDeadServers", strconv.FormatBool(config.CleanupDeadServers)},
			[2]string{"LastContactThreshold", config.LastContactThreshold.String()},
			[2]string{"MaxTrailingLogs", strconv.FormatUint(config.MaxTrailingLogs, 10)},
			[2]string{"MinQuorum", strconv.FormatUint(config.MinQuorum, 10)},
			[2]string{"ServerStabilizationTime", config.ServerStabilizationTime.String()},
		)
	})
}

func autopilotSetConfigCommand() command {
	return command{
		words: "operator autopilot set-config", summary: "Change when servers count as healthy",
		help:    "  What no flag names stays as it is.",
		example: "  nomadish operator autopilot set-config -last-contact-threshold 500ms",
		run:     runAutopilotSetConfig,
	}
}

func runAutopilotSetConfig(ctx context.Context, c *call) error {
	c.remoteFlags()
	f := c.flags
	cleanup := f.Bool("cleanup-dead-servers", true, "remove servers that are dead when others take their place")
	contact := f.Duration("last-contact-threshold", 0, "`time` without the leader after which a server is unhealthy")
	trailing := f.Uint64("max-trailing-logs", 0, "`number` of entries that a healthy server may be behind")
	quorum := f.Uint64("min-quorum", 0, "`number` of servers that stay, dead or not")
	stable := f.Duration("server-stabilization-time", 0, "`time` for which a new server has to be healthy before it votes")
	cas := f.Uint64("check-index", 0, "change it only if it is at this `index`")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	config, err := client.Operator().AutopilotConfig(ctx, nil)
	if err != nil {
		return err
	}
	index := config.ModifyIndex
	f.Visit(func(given *flag.Flag) {
		switch given.Name {
		case "cleanup-dead-servers":
			config.CleanupDeadServers = *cleanup
		case "last-contact-threshold":
			config.LastContactThreshold = nomadish.TextDuration(*contact)
		case "max-trailing-logs":
			config.MaxTrailingLogs = *trailing
		case "min-quorum":
			config.MinQuorum = *quorum
		case "server-stabilization-time":
			config.ServerStabilizationTime = nomadish.TextDuration(*stable)
		case "check-index":
			index = *cas
		}
	})
	updated, err := client.Operator().SetAutopilotConfig(ctx, config, &index)
	if err != nil {
		return err
	}
	if !updated {
		return nomadish.Errorf(nomadish.KindConflict, "the configuration was changed meanwhile: it is not at index %d", index)
	}
	return c.print("Configuration updated.\n")
}

func autopilotHealthCommand() command {
	return command{
		words: "operator autopilot health", summary: "Show how well the servers are",
		exits:   "  0   all servers are healthy\n  1   one is not, or nobody knows\n  64  the command line is wrong",
		example: "  nomadish operator autopilot health",
		reads:   true,
		run:     runAutopilotHealth,
	}
}

func runAutopilotHealth(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	health, err := client.Operator().AutopilotHealth(ctx)
	if err != nil {
		return err
	}
	err = c.show(health, func(p *page) { healthPage(p, health) })
	if err == nil && !health.Healthy {
		return &exit{code: ExitFailed}
	}
	return err
}

func healthPage(p *page, health *nomadish.OperatorHealthReply) {
	p.fields(
		[2]string{"Healthy", strconv.FormatBool(health.Healthy)},
		[2]string{"FailureTolerance", strconv.Itoa(health.FailureTolerance)},
		[2]string{"Leader", health.Leader},
	)
	rows := make([][]string, len(health.Servers))
	for i, s := range health.Servers {
		rows[i] = []string{
			s.Name, s.ID, s.Address, s.SerfStatus, s.Version, yesNo(s.Leader), yesNo(s.Voter), yesNo(s.Healthy),
			s.LastContact.String(), strconv.FormatUint(s.LastTerm, 10), strconv.FormatUint(s.LastIndex, 10), s.StableSince.UTC().Format(time.RFC3339),
		}
	}
	p.title("Servers")
	p.table([]string{"Name", "ID", "Address", "Status", "Version", "Leader", "Voter", "Healthy", "LastContact", "LastTerm", "LastIndex", "StableSince"}, rows)
}
