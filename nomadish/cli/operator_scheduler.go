package cli

import (
	"context"
	"flag"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

func schedulerGetConfigCommand() command {
	return command{
		words: "operator scheduler get-config", summary: "Show what operators have decided about scheduling",
		example: "  nomadish operator scheduler get-config",
		reads:   true,
		run:     runSchedulerGetConfig,
	}
}

func runSchedulerGetConfig(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	config, _, err := client.Operator().SchedulerConfig(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(config, func(p *page) {
		p.fields(
			[2]string{"Scheduler Algorithm", config.SchedulerAlgorithm},
			[2]string{"Memory Oversubscription", strconv.FormatBool(config.MemoryOversubscriptionEnabled)},
			[2]string{"Reject Job Registration", strconv.FormatBool(config.RejectJobRegistration)},
			[2]string{"Pause Eval Broker", strconv.FormatBool(config.PauseEvalBroker)},
			[2]string{"Preemption System Scheduler", strconv.FormatBool(config.PreemptionConfig.SystemSchedulerEnabled)},
			[2]string{"Preemption Service Scheduler", strconv.FormatBool(config.PreemptionConfig.ServiceSchedulerEnabled)},
			[2]string{"Preemption Batch Scheduler", strconv.FormatBool(config.PreemptionConfig.BatchSchedulerEnabled)},
			[2]string{"Preemption SysBatch Scheduler", strconv.FormatBool(config.PreemptionConfig.SysBatchSchedulerEnabled)},
			[2]string{"Modify Index", strconv.FormatUint(config.ModifyIndex, 10)},
		)
	})
}

func schedulerSetConfigCommand() command {
	return command{
		words: "operator scheduler set-config", summary: "Decide about scheduling in the whole cluster",
		help:    "  What no flag names stays as it is.",
		example: "  nomadish operator scheduler set-config -scheduler-algorithm spread",
		run:     runSchedulerSetConfig,
	}
}

func runSchedulerSetConfig(ctx context.Context, c *call) error {
	c.remoteFlags()
	f := c.flags
	algorithm := f.String("scheduler-algorithm", "", "binpack or spread: the `way` to choose among nodes that fit")
	bools := map[string]struct {
		value *bool
		field func(*nomadish.SchedulerConfiguration) *bool
	}{}
	add := func(name, usage string, field func(*nomadish.SchedulerConfiguration) *bool) {
		entry := bools[name]
		entry.value, entry.field = f.Bool(name, false, usage), field
		bools[name] = entry
	}
	type config = nomadish.SchedulerConfiguration
	add("memory-oversubscription", "tasks may use more memory than they reserve", func(c *config) *bool { return &c.MemoryOversubscriptionEnabled })
	add("reject-job-registration", "only management tokens register jobs", func(c *config) *bool { return &c.RejectJobRegistration })
	add("pause-eval-broker", "nothing is scheduled", func(c *config) *bool { return &c.PauseEvalBroker })
	add("preempt-system-scheduler", "system jobs evict work of lower priority", func(c *config) *bool { return &c.PreemptionConfig.SystemSchedulerEnabled })
	add("preempt-service-scheduler", "service jobs evict work of lower priority", func(c *config) *bool { return &c.PreemptionConfig.ServiceSchedulerEnabled })
	add("preempt-batch-scheduler", "batch jobs evict work of lower priority", func(c *config) *bool { return &c.PreemptionConfig.BatchSchedulerEnabled })
	add("preempt-sysbatch-scheduler", "sysbatch jobs evict work of lower priority", func(c *config) *bool { return &c.PreemptionConfig.SysBatchSchedulerEnabled })
	cas := f.Uint64("check-index", 0, "change it only if it is at this `index`")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	now, _, err := client.Operator().SchedulerConfig(ctx, nil)
	if err != nil {
		return err
	}
	index := now.ModifyIndex
	f.Visit(func(given *flag.Flag) {
		switch entry, isBool := bools[given.Name]; {
		case isBool:
			*entry.field(now) = *entry.value
		case given.Name == "scheduler-algorithm":
			now.SchedulerAlgorithm = *algorithm
		case given.Name == "check-index":
			index = *cas
		}
	})
	updated, err := client.Operator().SetSchedulerConfig(ctx, now, &index)
	if err != nil {
		return err
	}
	if !updated {
		return nomadish.Errorf(nomadish.KindConflict, "the configuration was changed meanwhile: it is not at index %d", index)
	}
	return c.print("Scheduler configuration updated.\n")
}
