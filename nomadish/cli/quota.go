package cli

import (
	"cmp"
	"context"
	"encoding/base64"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

const quotaExampleHCL = `# Namespaces that name this quota may use so much together.
name        = "default-quota"
description = "for the teams"

limit {
  region = "global"

  # 0, or nothing: no limit; -1: nothing at all.
  region_limit {
    cpu        = 2500 # MHz
    memory     = 1000 # MiB
    memory_max = 1000 # MiB
  }
}
`

const quotaExampleJSON = `{
  "Name": "default-quota",
  "Description": "for the teams",
  "Limits": [
    {
      "Region": "global",
      "RegionLimit": {"CPU": 2500, "MemoryMB": 1000, "MemoryMaxMB": 1000}
    }
  ]
}
`

func quotaApplyCommand() command {
	return command{
		words: "quota apply", args: "FILE", summary: "Store a quota: what namespaces may use together",
		help:    "  FILE, or - for standard input, is HCL, or with -json JSON.",
		example: "  nomadish quota init && nomadish quota apply spec.hcl",
		run:     runQuotaApply,
	}
}

func runQuotaApply(ctx context.Context, c *call) error {
	c.remoteFlags()
	asJSON := c.flags.Bool("json", false, "the file is JSON, in the shape of the API")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	quota := &nomadish.QuotaSpec{}
	if err := c.readSpec(c.args[0], *asJSON, quota); err != nil {
		return err
	}
	if err := client.Quotas().Put(ctx, quota); err != nil {
		return err
	}
	return c.print("Quota %q is stored.\n", quota.Name)
}

func quotaListCommand() command {
	return command{
		words: "quota list", summary: "List the quotas that one may see",
		example: "  nomadish quota list",
		reads:   true,
		run:     runQuotaList,
	}
}

func runQuotaList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	all, _, err := client.Quotas().List(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(all, func(p *page) {
		if len(all) == 0 {
			p.line("No quotas")
			return
		}
		rows := make([][]string, len(all))
		for i, q := range all {
			rows[i] = []string{q.Name, q.Description}
		}
		p.table([]string{"Name", "Description"}, rows)
	})
}

func quotaStatusCommand() command {
	return command{
		words: "quota status", args: "QUOTA", summary: "Show a quota, and what of it is used",
		example: "  nomadish quota status default-quota",
		reads:   true,
		run:     runQuotaStatus,
	}
}

func runQuotaStatus(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	quota, _, err := client.Quotas().Quota(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "quota", c.args[0])
	}
	used, _, err := client.Quotas().Usage(ctx, c.args[0], nil)
	if err != nil {
		return err
	}
	return c.show(quota, func(p *page) {
		p.fields([][2]string{
			{"Name", quota.Name}, {"Description", cmp.Or(quota.Description, "<none>")}, {"Limits", number(len(quota.Limits))},
		}...)
		p.title("Quota Limits")
		quotaTable(p, quota, used)
	})
}

// quotaTable shows limits, and what of them is used where the server that was asked knows.
func quotaTable(p *page, quota *nomadish.QuotaSpec, used *nomadish.QuotaUsage) {
	var rows [][]string
	for _, l := range quota.Limits {
		limit := cmp.Or(l.RegionLimit, &nomadish.QuotaResources{})
		use := &nomadish.QuotaResources{}
		if u := used.Used[base64.StdEncoding.EncodeToString(l.Hash)]; u != nil && u.RegionLimit != nil {
			use = u.RegionLimit
		}
		rows = append(rows, []string{
			l.Region, share(use.CPU, limit.CPU), share(use.Cores, limit.Cores), share(use.MemoryMB, limit.MemoryMB), share(use.MemoryMaxMB, limit.MemoryMaxMB),
		})
	}
	p.table([]string{"Region", "CPU", "Cores", "Memory", "Memory Max"}, rows)
}

// share says how much of a limit is used.
func share(used, limit *int) string {
	of := "inf"
	switch n := nomadish.Val(limit); {
	case n < 0:
		of = "0"
	case n > 0:
		of = strconv.Itoa(n)
	}
	if used == nil {
		return "- / " + of
	}
	return strconv.Itoa(*used) + " / " + of
}

func quotaInspectCommand() command {
	return command{
		words: "quota inspect", args: "QUOTA", summary: "Show all of a quota, as JSON",
		example: "  nomadish quota inspect default-quota",
		reads:   true,
		run:     runQuotaInspect,
	}
}

// inspectedQuota is a quota with what of it is used.
type inspectedQuota struct {
	Spec  *nomadish.QuotaSpec
	Usage *nomadish.QuotaUsage
}

func runQuotaInspect(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	var q inspectedQuota
	if q.Spec, _, err = client.Quotas().Quota(ctx, c.args[0], nil); err != nil {
		return missing(err, "quota", c.args[0])
	}
	if q.Usage, _, err = client.Quotas().Usage(ctx, c.args[0], nil); err != nil {
		return err
	}
	c.output.json = c.output.template == ""
	return c.show(q, nil)
}

func quotaDeleteCommand() command {
	return command{
		words: "quota delete", args: "QUOTA", summary: "Remove a quota that no namespace has",
		example: "  nomadish quota delete default-quota",
		run:     runQuotaDelete,
	}
}

func runQuotaDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Quotas().Delete(ctx, c.args[0]); err != nil {
		return missing(err, "quota", c.args[0])
	}
	return c.print("Quota %q is removed.\n", c.args[0])
}

func quotaInitCommand() command {
	return command{
		words: "quota init", args: "[FILE]", summary: "Write an example of a quota",
		help:    "  FILE is by default spec.hcl, or with -json spec.json. A file that is there already is left alone.",
		example: "  nomadish quota init",
		run:     runQuotaInit,
	}
}

func runQuotaInit(_ context.Context, c *call) error {
	return example{"quota", "spec", quotaExampleHCL, quotaExampleJSON}.write(c)
}
