package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobHistoryCommand() command {
	return command{
		words: "job history", args: "JOB", summary: "List the versions of a job",
		help: `  The server keeps the newest versions and those with a tag. With -p each one shows how it
  differs from the one before it, or from the one that -diff-version or -diff-tag names.
  With -json and -t, versions come as the API gives them: under Versions, with -p also Diffs.`,
		example: `  nomadish job history -p web
  nomadish job history -p -diff-tag golden -version 7 web`,
		reads: true,
		run:   runJobHistory,
	}
}

type historyFlags struct {
	diffs    bool
	version  int
	base     int
	baseName string
}

func runJobHistory(ctx context.Context, c *call) error {
	f := &historyFlags{}
	c.readFlags()
	c.flags.BoolVar(&f.diffs, "p", false, "show how the versions differ")
	c.flags.IntVar(&f.version, "version", -1, "show this `version` only")
	c.flags.IntVar(&f.base, "diff-version", -1, "with -p: compare with this `version`")
	c.flags.StringVar(&f.baseName, "diff-tag", "", "with -p: compare with the version that has this `tag`")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	base, err := f.compareWith(c)
	if err != nil {
		return err
	}
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	history := &nomadish.JobVersionsResponse{}
	q := &api.Query{Namespace: stub.Namespace}
	if f.diffs {
		history, _, err = client.Jobs().VersionDiffs(ctx, stub.ID, base, q)
	} else {
		history.Versions, _, err = client.Jobs().Versions(ctx, stub.ID, q)
	}
	if err != nil {
		return err
	}
	if history, err = f.chosen(stub.ID, history); err != nil {
		return err
	}
	if c.machine() {
		return c.show(history, nil)
	}
	return c.showHistory(history)
}

// compareWith is the version that all are compared with; empty: the one before each.
func (f *historyFlags) compareWith(c *call) (string, error) {
	switch {
	case f.base >= 0 && f.baseName != "":
		return "", c.misused("-diff-version and -diff-tag exclude each other")
	case !f.diffs && (f.base >= 0 || f.baseName != ""):
		return "", c.misused("-diff-version and -diff-tag need -p")
	case f.base >= 0:
		return number(f.base), nil
	}
	return f.baseName, nil
}

// chosen leaves the version that was asked for, with its diff.
func (f *historyFlags) chosen(id string, all *nomadish.JobVersionsResponse) (*nomadish.JobVersionsResponse, error) {
	if f.version < 0 {
		return all, nil
	}
	for i, v := range all.Versions {
		if nomadish.Val(v.Version) != uint64(f.version) {
			continue
		}
		one := &nomadish.JobVersionsResponse{Versions: all.Versions[i : i+1], QueryMeta: all.QueryMeta}
		if i < len(all.Diffs) {
			one.Diffs = all.Diffs[i : i+1]
		}
		return one, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "job %q has no version %d", id, f.version)
}

func (c *call) showHistory(history *nomadish.JobVersionsResponse) error {
	var out strings.Builder
	for i, v := range history.Versions {
		p := &page{}
		fields := [][2]string{
			{"Version", number(nomadish.Val(v.Version))},
			{"Stable", fmt.Sprint(nomadish.Val(v.Stable))},
			{"Submitted", c.when(nomadish.Val(v.SubmitTime))},
		}
		if tag := v.VersionTag; tag != nil {
			fields = append(fields, [2]string{"Tag", joined(tag.Name, tag.Description)})
		}
		if nomadish.Val(v.Stop) {
			fields = append(fields, [2]string{"Stopped", "yes"})
		}
		p.fields(fields...)
		if i > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(p.String())
		if i < len(history.Diffs) {
			out.WriteString("Diff:\n" + c.jobDiff(history.Diffs[i]))
		}
	}
	return write(c.Stdout, out.String())
}
