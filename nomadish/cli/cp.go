package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func cpCommand() command {
	return command{
		words: "cp", args: "[JOB:]PATH [JOB:]PATH", summary: "Copy files from a task or into it",
		help: `  One of both is JOB:PATH: a job's ID, of which the newest running allocation is taken, or an
  allocation (its ID or name, or web/0 for number 0 of job web). Its PATH is in the
  allocation's directory, as alloc fs shows it (alloc/data/x, web/local/x), or begins with
  /alloc, /local or /secrets, which are the task's. Any other absolute path is one in the
  task's own file system, which is read by running tar in the task; writing runs sh there.
  Directories are copied with all that is in them; links are left out, and said.`,
		example: "  nomadish cp web:/local/conf.d ./conf.d\n  nomadish cp -task nginx index.html web/0:/usr/share/nginx/html/\n  nomadish cp web:alloc/logs logs",
		run:     runCp,
	}
}

// copier copies between this machine and a task.
type copier struct {
	*call
	client   *api.Client
	alloc    *nomadish.Allocation
	task     string
	progress *progress
	skipped  int
}

// remotePath splits JOB:PATH. A Windows path (C:\x) and one with a slash before the colon are local.
func remotePath(arg string) (job, file string, ok bool) {
	job, file, ok = strings.Cut(arg, ":")
	if !ok || job == "" || file == "" || strings.HasPrefix(arg, ".") || strings.HasPrefix(arg, "/") || filepath.VolumeName(arg) != "" {
		return "", arg, false
	}
	return job, file, true
}

func runCp(ctx context.Context, c *call) error {
	task := ""
	c.remoteFlags()
	c.flags.StringVar(&task, "task", "", "`name` of the task; default: the only one, or the main one")
	client, err := c.dial(2, 2)
	if err != nil {
		return err
	}
	defer client.Close()
	fromJob, from, download := remotePath(c.args[0])
	toJob, to, upload := remotePath(c.args[1])
	if download == upload {
		return c.misused("one of both is JOB:PATH, the other a path here")
	}
	word := fromJob
	if upload {
		word = toJob
	}
	a, err := c.target(ctx, client, word, true)
	if err != nil {
		return err
	}
	x := &copier{call: c, client: client, alloc: a, progress: newProgress(c)}
	if x.task, err = runningTask(a, task); err != nil {
		return err
	}
	switch {
	case upload:
		err = x.upload(ctx, from, to)
	default:
		err = x.download(ctx, from, to)
	}
	x.progress.end()
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", c.args[0], c.args[1], err)
	}
	if x.skipped > 0 {
		fmt.Fprintf(c.Stderr, "%s left out: links and special files.\n", plural(x.skipped, "file"))
	}
	return nil
}

// inAllocation says where in the allocation's directory a path of the task is, if it is there.
func (x *copier) inAllocation(file string) (string, bool) {
	clean := path.Clean(file)
	switch first, _, _ := strings.Cut(strings.TrimPrefix(clean, "/"), "/"); {
	case !path.IsAbs(clean):
		return clean, true
	case first == "alloc":
		return clean[1:], true
	case first == "local", first == "secrets":
		return path.Join(x.task, clean), true
	}
	return "", false
}

// download copies from the task: out of the allocation's directory by reading it, from
// elsewhere through tar.
func (x *copier) download(ctx context.Context, from, to string) error {
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		to = filepath.Join(to, path.Base(path.Clean("/"+from)))
	}
	inside, ok := x.inAllocation(from)
	if !ok {
		return x.downloadTar(ctx, path.Clean(from), to)
	}
	info, err := x.client.Files().Stat(ctx, x.alloc.ID, inside)
	if err != nil {
		return err
	}
	parent, name, err := openParent(to)
	if err != nil {
		return err
	}
	defer parent.Close()
	return x.fetch(ctx, inside, info, parent, name)
}

// openParent opens the directory that a new file or directory is to be made in: nothing is
// written outside of it.
func openParent(to string) (*os.Root, string, error) {
	to = filepath.Clean(to)
	root, err := os.OpenRoot(filepath.Dir(to))
	return root, filepath.Base(to), err
}

// maxDepth bounds how deep directories are copied.
const maxDepth = 100

// fetch reads a file or directory of the allocation.
func (x *copier) fetch(ctx context.Context, from string, info *nomadish.AllocFileInfo, root *os.Root, to string) error {
	switch {
	case strings.Count(from, "/") > maxDepth:
		return fmt.Errorf("%s: directories are nested deeper than %d", from, maxDepth)
	case info.IsDir:
		if err := root.Mkdir(to, permissions(info.FileMode)|0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		files, err := x.client.Files().List(ctx, x.alloc.ID, from)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := x.fetch(ctx, path.Join(from, f.Name), f, root, filepath.Join(to, filepath.Base(f.Name))); err != nil {
				return err
			}
		}
		return nil
	case !strings.HasPrefix(info.FileMode, "-"):
		x.skipped++
		return nil
	}
	body, err := x.client.Files().Read(ctx, &nomadish.FileRequest{AllocID: x.alloc.ID, Path: from})
	if err != nil {
		return err
	}
	defer body.Close()
	x.progress.file(from)
	return x.save(root, to, body, permissions(info.FileMode))
}

// permissions reads who may do what from a mode's text (-rw-r-----), so that a copy is no
// more open than the file.
func permissions(text string) (mode os.FileMode) {
	const all = "rwxrwxrwx"
	for i, letter := range []byte(text[max(0, len(text)-len(all)):]) {
		mode <<= 1
		if letter == all[i] {
			mode |= 1
		}
	}
	return mode
}

// save writes a file, and says so.
func (x *copier) save(root *os.Root, to string, body io.Reader, mode os.FileMode) error {
	file, err := root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, io.TeeReader(body, x.progress))
	return errors.Join(err, file.Close())
}

// progress shows on a terminal how much has been copied.
type progress struct {
	screen *screen // nil: nobody watches
	now    func() time.Time
	name   string
	bytes  int64
	drawn  time.Time
}

func newProgress(c *call) *progress {
	p := &progress{now: c.Now}
	if f, ok := c.Stderr.(*os.File); ok && isTerminal(f) {
		p.screen = newScreen(f)
	}
	return p
}

// progressEvery is the time between two looks at the progress.
const progressEvery = 200 * time.Millisecond

func (p *progress) file(name string) { p.name, p.bytes = name, 0 }

// Write counts what is copied.
func (p *progress) Write(b []byte) (int, error) {
	p.bytes += int64(len(b))
	if now := p.now(); p.screen != nil && now.Sub(p.drawn) >= progressEvery {
		p.drawn = now
		width, _ := p.screen.size()
		p.screen.draw([]string{fit(cell(p.name)+"  "+size(p.bytes), width)})
	}
	return len(b), nil
}

// end takes the progress off the terminal.
func (p *progress) end() {
	if p.screen != nil {
		p.screen.draw(nil)
	}
}
