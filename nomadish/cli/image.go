package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// imageNodes are the flags that say on which nodes a command about images works.
type imageNodes struct {
	node string
	all  bool
}

func (c *call) nodesFlags(n *imageNodes) {
	c.flags.StringVar(&n.node, "node", "", "`node` by name or ID; default that of the agent that is asked")
	c.flags.BoolVar(&n.all, "all", false, "all nodes that run containers")
}

// target is a node that is asked about its images.
type target struct{ id, name string }

// targets finds the nodes that the flags mean.
func (c *call) targets(ctx context.Context, client *api.Client, n imageNodes) ([]target, error) {
	switch {
	case n.all && n.node != "":
		return nil, c.misused("-node and -all exclude each other")
	case n.node != "":
		found, err := c.findNode(ctx, client, n.node)
		if err != nil {
			return nil, err
		}
		return []target{{found.ID, found.Name}}, nil
	case !n.all:
		self, err := client.Agent().Self(ctx)
		if err != nil {
			return nil, err
		}
		id := self.Stats["client"]["node_id"]
		if id == "" {
			return nil, errors.New("the agent that is asked is no client node: say with -node which one is meant")
		}
		n.node = id
		return c.targets(ctx, client, n)
	}
	stubs, _, err := client.Nodes().List(ctx, nil)
	if err != nil {
		return nil, err
	}
	var out []target
	for _, s := range stubs {
		if d := s.Drivers["docker"]; s.Status == nomadish.NodeStatusReady && d != nil && d.Healthy {
			out = append(out, target{s.ID, s.Name})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no node that is ready runs containers")
	}
	return out, nil
}

// on says of images on which node they are.
func on(t target, images ...*nomadish.NodeImage) []*nomadish.NodeImage {
	for _, img := range images {
		img.Node = t.name
	}
	return images
}

func imageListCommand() command {
	return command{
		words: "image list", summary: "List the images that nodes keep for their containers",
		help:    "  An image is removed some time after its last use, unless it is kept: those are that users loaded, pulled or pushed.",
		example: "  nomadish image list -all",
		reads:   true,
		run:     runImageList,
	}
}

func runImageList(ctx context.Context, c *call) error {
	var nodes imageNodes
	c.readFlags()
	c.nodesFlags(&nodes)
	return c.onNodes(ctx, 0, &nodes, func(client *api.Client, t target) ([]*nomadish.NodeImage, error) {
		images, err := client.Images().List(ctx, t.id)
		return on(t, images...), err
	})
}

// onNodes does something on all nodes that the flags mean and shows the images that come of
// it. A node that fails does not keep the others from it.
func (c *call) onNodes(ctx context.Context, arguments int, nodes *imageNodes, do func(client *api.Client, t target) ([]*nomadish.NodeImage, error)) error {
	client, err := c.dial(arguments, arguments)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := c.targets(ctx, client, *nodes)
	if err != nil {
		return err
	}
	rows := []*nomadish.NodeImage{}
	var errs []error
	for _, t := range all {
		got, err := do(client, t)
		rows = append(rows, got...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.name, err))
		}
	}
	if len(rows) == 0 && len(errs) > 0 {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, c.show(rows, func(p *page) { c.imageTable(p, rows) }))...)
}

func (c *call) imageTable(p *page, images []*nomadish.NodeImage) {
	if len(images) == 0 {
		p.line("No images.")
		return
	}
	rows := make([][]string, len(images))
	for i, img := range images {
		stays := "while it is used"
		switch {
		case img.Kept:
			stays = "until it is removed"
		case img.UnusedSince != nil:
			stays = "unused for " + age(c.Now().Sub(*img.UnusedSince).Truncate(time.Second))
		}
		digest := img.Digest
		if !c.remote.verbose {
			digest = digest[:min(len("sha256:")+12, len(digest))]
		}
		rows[i] = []string{img.Node, img.Name, digest, size(img.Size), number(img.Containers), stays}
	}
	p.table([]string{"Node", "Name", "Digest", "Size", "Containers", "Stays"}, rows)
}

func imageLoadCommand() command {
	return command{
		words: "image load", args: "FILE", summary: "Put the images of an archive onto nodes, without a registry",
		help: "  FILE is an archive as docker save writes it, or of an OCI layout, packed by gzip or not; - is standard input.\n" +
			"  The images stay until they are removed.",
		example: "  docker save app:1 | nomadish image load -node web-1 -",
		reads:   true,
		run:     runImageLoad,
	}
}

func runImageLoad(ctx context.Context, c *call) error {
	var nodes imageNodes
	var name string
	c.readFlags()
	c.nodesFlags(&nodes)
	c.flags.StringVar(&name, "name", "", "what the image is called; default as in the archive")
	return c.onNodes(ctx, 1, &nodes, func(client *api.Client, t target) ([]*nomadish.NodeImage, error) {
		in, length, err := c.archive(c.args[0], nodes.all)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		m := c.meter("Loading to "+t.name, length)
		defer m.end()
		loaded, err := client.Images().Load(ctx, t.id, name, m.reader(in))
		return on(t, loaded...), err
	})
}

// archive opens a file. Standard input can be read only once.
func (c *call) archive(path string, often bool) (io.ReadCloser, int64, error) {
	if path == "-" {
		if often {
			return nil, 0, c.misused("standard input can be read only once: load to one node, then push from there to all")
		}
		return io.NopCloser(c.Stdin), 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func imagePullCommand() command {
	return command{
		words: "image pull", args: "IMAGE", summary: "Have nodes get an image from its registry",
		help:    "  Nodes use their own credentials. The image stays until it is removed.",
		example: "  nomadish image pull -all redis:7",
		reads:   true,
		run:     runImagePull,
	}
}

func runImagePull(ctx context.Context, c *call) error {
	var nodes imageNodes
	c.readFlags()
	c.nodesFlags(&nodes)
	return c.onNodes(ctx, 1, &nodes, func(client *api.Client, t target) ([]*nomadish.NodeImage, error) {
		m := c.meter("", 0)
		defer m.end()
		img, err := client.Images().Pull(ctx, t.id, c.args[0], func(p *nomadish.ImageProgress) {
			m.what, m.total, m.done = t.name+": "+p.Message, p.Total, p.Done
			m.draw(c.Now())
		})
		if err != nil {
			return nil, err
		}
		return on(t, img), nil
	})
}

func imageRemoveCommand() command {
	return command{
		words: "image remove", args: "IMAGE", summary: "Remove an image from nodes",
		example: "  nomadish image remove -all app:1",
		run:     runImageRemove,
	}
}

func runImageRemove(ctx context.Context, c *call) error {
	var nodes imageNodes
	var force bool
	c.remoteFlags()
	c.nodesFlags(&nodes)
	c.flags.BoolVar(&force, "force", false, "also when containers were made from it; they go on")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := c.targets(ctx, client, nodes)
	if err != nil {
		return err
	}
	var errs []error
	removed := 0
	for _, t := range all {
		err := client.Images().Remove(ctx, t.id, c.args[0], force)
		switch {
		case err == nil:
			removed++
		case nodes.all && errors.Is(err, nomadish.ErrNotFound): // it need not be everywhere
		default:
			errs = append(errs, fmt.Errorf("%s: %w", t.name, err))
		}
	}
	if removed == 0 && len(errs) == 0 {
		return nomadish.Errorf(nomadish.KindNotFound, "no node has the image %s", c.args[0])
	}
	if removed > 0 {
		errs = append(errs, write(c.Stdout, printable(fmt.Sprintf("Removed %s from %s.\n", c.args[0], plural(removed, "node")))))
	}
	return errors.Join(errs...)
}

func imagePushCommand() command {
	return command{
		words: "image push", args: "IMAGE", summary: "Send an image from one node to others, without a registry",
		help:    "  The image stays there until it is removed.",
		example: "  nomadish image push -from web-1 -all app:1",
		reads:   true,
		run:     runImagePush,
	}
}

func runImagePush(ctx context.Context, c *call) error {
	var nodes imageNodes
	var from string
	c.readFlags()
	c.flags.StringVar(&from, "from", "", "`node` that has the image; default that of the agent that is asked")
	c.flags.StringVar(&nodes.node, "to", "", "`node` that is to have it")
	c.flags.BoolVar(&nodes.all, "all", false, "all other nodes that run containers")
	var source target
	return c.onNodes(ctx, 1, &nodes, func(client *api.Client, t target) ([]*nomadish.NodeImage, error) {
		if nodes == (imageNodes{}) {
			return nil, c.misused("say with -to or -all where the image is to go")
		}
		if source == (target{}) {
			found, err := c.targets(ctx, client, imageNodes{node: from})
			if err != nil {
				return nil, err
			}
			source = found[0]
		}
		if t.id == source.id {
			return nil, nil // it is there
		}
		archive, err := client.Images().Export(ctx, source.id, c.args[0])
		if err != nil {
			return nil, fmt.Errorf("from %s: %w", source.name, err)
		}
		defer archive.Close()
		m := c.meter("Pushing from "+source.name+" to "+t.name, 0)
		defer m.end()
		loaded, err := client.Images().Load(ctx, t.id, "", m.reader(archive))
		return on(t, loaded...), err
	})
}

// meter shows on a terminal how much of something has been moved.
type meter struct {
	w           io.Writer // nil: nobody looks
	now         func() time.Time
	what        string
	done, total int64 // total 0: not known
	drawn       time.Time
}

// meterEvery is how often a meter is drawn.
const meterEvery = 250 * time.Millisecond

func (c *call) meter(what string, total int64) *meter {
	m := &meter{what: what, total: total, now: c.Now}
	if isTerminal(c.Stderr) {
		m.w = c.Stderr
	}
	return m
}

// reader counts what is read of r.
func (m *meter) reader(r io.Reader) io.Reader { return &metered{r, m} }

type metered struct {
	r io.Reader
	m *meter
}

// Read reads on.
func (r *metered) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.m.done += int64(n)
	r.m.draw(r.m.now())
	return n, err
}

func (m *meter) draw(now time.Time) {
	if m.w == nil || now.Sub(m.drawn) < meterEvery {
		return
	}
	m.drawn = now
	text := m.what + "  " + size(m.done)
	if m.total > 0 {
		text += " of " + size(m.total)
	}
	fmt.Fprint(m.w, "\r"+printable(text)+"\x1b[K")
}

// end takes the meter off the terminal.
func (m *meter) end() {
	if m.w != nil && !m.drawn.IsZero() {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}
