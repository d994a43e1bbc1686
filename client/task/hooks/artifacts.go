package hooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/client/allocfs"
	"github.com/nomadish/nomadish/client/artifact"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// artifacts fetches what the task needs. What was fetched for one start is there for the
// next ones.
type artifacts struct {
	fetcher *artifact.Fetcher
}

func (artifacts) Name() string { return "artifacts" }

func (h artifacts) Prepare(ctx context.Context, s *task.Setup) error {
	if len(s.Task.Artifacts) == 0 {
		return nil
	}
	done, err := openMarks(s)
	if err != nil {
		return drivers.Recoverable(err)
	}
	defer done.Close()
	told := false
	for i, a := range s.Task.Artifacts {
		mark, err := markOf(a)
		if err != nil {
			return err
		}
		if _, err := done.Lstat(mark); err == nil {
			continue
		}
		if !told {
			s.Emit(task.DownloadingEvent())
			told = true
		}
		if err := h.fetch(ctx, s, i, a); err != nil {
			return err
		}
		if err := writeNew(done, mark, nil, 0o600); err != nil {
			return drivers.Recoverable(err)
		}
	}
	return nil
}

// marksDir is where there is a file for each artifact that was fetched.
const marksDir = "artifacts"

// openMarks opens the directory of the marks, below the task's private one.
func openMarks(s *task.Setup) (*os.Root, error) {
	root, err := openBelow(s.Root, filepath.Join(s.Task.Name, privateDir))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := root.Mkdir(marksDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return allocfs.OpenDir(root, marksDir)
}

// markOf names the mark of an artifact by all that the job says of it.
func markOf(a *nomadish.TaskArtifact) (string, error) {
	said, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(said)
	return hex.EncodeToString(sum[:16]), nil
}

func (h artifacts) fetch(ctx context.Context, s *task.Setup, i int, a *nomadish.TaskArtifact) error {
	in := &interpolator{env: s.Spec.Env, node: nodeVariables(s.Node, s.Spec.Env["NOMAD_REGION"]), left: maxText}
	req := &artifact.Request{
		Source: in.text(nomadish.Val(a.GetterSource)), Options: texts(in, a.GetterOptions), Headers: texts(in, a.GetterHeaders),
		Mode: in.text(nomadish.Val(a.GetterMode)), Insecure: nomadish.Val(a.GetterInsecure),
	}
	root, err := destination(in, s, req, nomadish.Val(a.RelativeDest))
	if err != nil {
		return err
	}
	defer root.Close()
	req.Root = root
	if in.left < 0 {
		return &task.InvalidError{Err: fmt.Errorf("artifact %d: longer than %d bytes after interpolation", i+1, maxText)}
	}
	if a.Chown {
		if uid, gid, ok := lookupUser(s.Spec.User); ok && os.Geteuid() == 0 {
			req.Owner = &artifact.Owner{UID: uid, GID: gid}
		}
	}
	key, name := fmt.Sprintf("artifact/%d", i), path.Base(artifact.Name(req.Source))
	req.Progress = func(done, total int64) {
		s.Notify(drivers.Notice{Key: key, Message: progress(name, done, total), Done: done, Total: total})
	}
	err = h.fetcher.Fetch(ctx, req)
	var fault *artifact.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &fault):
		return err // ctx has ended
	case fault.Invalid:
		return &task.DownloadError{Err: err}
	}
	return drivers.Recoverable(&task.DownloadError{Err: err})
}

func progress(name string, done, total int64) string {
	const mib = 1 << 20
	if total <= 0 {
		return fmt.Sprintf("Downloading %s: %.1f MiB", name, float64(done)/mib)
	}
	return fmt.Sprintf("Downloading %s: %.1f of %.1f MiB", name, float64(done)/mib, float64(total)/mib)
}

func texts(in *interpolator, m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, value := range m {
		out[in.text(name)] = in.text(value)
	}
	return out
}

// destination opens the directory out of which the artifact must not get: the task's, or the
// one that the tasks share. It judges the path after interpolation, in which the task's
// directories have their names below its own, however the task itself sees them.
func destination(in *interpolator, s *task.Setup, req *artifact.Request, written string) (*os.Root, error) {
	env := maps.Clone(s.Spec.Env)
	env["NOMAD_ALLOC_DIR"], env["NOMAD_TASK_DIR"], env["NOMAD_SECRETS_DIR"] = "../"+sharedDir, localDir, secretsDir
	local := &interpolator{env: env, node: in.node, left: maxText}
	dest := path.Join(s.Task.Name, local.text(written))
	first, rest, _ := strings.Cut(dest, "/")
	private := first == s.Task.Name && (rest == privateDir || strings.HasPrefix(rest, privateDir+"/"))
	if first != s.Task.Name && first != sharedDir || private || !filepath.IsLocal(dest) || local.left < 0 {
		return nil, &task.InvalidError{Err: fmt.Errorf("artifact destination %q is outside of the task's directory", written)}
	}
	if req.Dest = rest; rest == "" {
		req.Dest = "."
	}
	root, err := openBelow(s.Root, first)
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	return root, nil
}
