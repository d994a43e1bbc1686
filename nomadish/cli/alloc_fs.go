package cli

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func allocFSCommand() command {
	return command{
		words: "alloc fs", args: "ALLOCATION [PATH]", summary: "List or print what is in the directory of an allocation",
		help: allocationHelp + `
  With -job it is the ID of a job, of which the newest running allocation is taken.

  PATH, by default "/", is below the
  allocation's directory: a directory is listed, a file is printed.`,
		example: "  nomadish alloc fs 5f2c alloc/logs\n  nomadish alloc fs -tail -n 5 5f2c web/local/out.txt",
		reads:   true,
		run:     runAllocFS,
	}
}

func runAllocFS(ctx context.Context, c *call) error {
	f := &tailFlags{}
	byJob, stat, human := false, false, false
	c.readFlags()
	f.register(c)
	c.flags.BoolVar(&byJob, "job", false, "take an allocation of the job that is named")
	c.flags.BoolVar(&stat, "stat", false, "describe the file or directory only")
	c.flags.BoolVar(&human, "H", false, "sizes and times for machines: bytes and RFC 3339")
	if err := c.parse(1, 2); err != nil {
		return err
	}
	if err := f.check(c); err != nil {
		return err
	}
	path := "/"
	if len(c.args) == 2 {
		path = c.args[1]
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := c.allocationOr(ctx, client, c.args[0], byJob)
	if err != nil {
		return err
	}
	info, err := client.Files().Stat(ctx, a.ID, path)
	if err != nil {
		return err
	}
	switch {
	case stat:
		return c.show(info, func(p *page) { fileTable(p, []*nomadish.AllocFileInfo{info}, human) })
	case info.IsDir:
		files, err := client.Files().List(ctx, a.ID, path)
		if err != nil {
			return err
		}
		return c.show(files, func(p *page) { fileTable(p, files, human) })
	}
	return f.printFile(ctx, c, client, &nomadish.FileRequest{AllocID: a.ID, Path: path})
}

func (f *tailFlags) printFile(ctx context.Context, c *call, client *api.Client, req *nomadish.FileRequest) error {
	if !f.follow && f.lines == 0 && f.bytes == 0 {
		body, err := client.Files().Read(ctx, req)
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(c.content(), body)
		return err
	}
	return f.print(ctx, c.content(), func(ctx context.Context, offset int64, origin string, follow bool) iter.Seq2[*nomadish.StreamFrame, error] {
		req.Offset, req.Origin, req.Follow = offset, origin, follow
		return client.Files().Stream(ctx, req)
	})
}

func fileTable(p *page, files []*nomadish.AllocFileInfo, exact bool) {
	if len(files) == 0 {
		p.line("The directory is empty.")
		return
	}
	rows := make([][]string, len(files))
	for i, info := range files {
		name, length := info.Name, size(info.Size)
		if exact {
			length = number(info.Size)
		}
		if info.IsDir {
			name += "/"
		}
		rows[i] = []string{info.FileMode, length, info.ModTime.Format(time.RFC3339), name}
	}
	p.table([]string{"Mode", "Size", "Modified", "Name"}, rows)
}

// size is a number of bytes with a unit.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
