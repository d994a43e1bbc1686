package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// run runs a command in the task, and makes an error of what it says if it fails.
func (x *copier) run(ctx context.Context, in io.Reader, out io.Writer, command ...string) error {
	said := &lastBytes{max: 4 << 10}
	code, err := x.client.Allocations().Exec(ctx, x.alloc.ID, &nomadish.ExecRequest{
		Task: x.task, Command: command, Stdin: in, Stdout: out, Stderr: said,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("%s in task %q: exit code %d: %s", command[0], x.task, code, bytes.TrimSpace(said.text))
	}
	return err
}

// downloadTar copies from the task's own file system.
func (x *copier) downloadTar(ctx context.Context, from, to string) error {
	parent, name, err := openParent(to)
	if err != nil {
		return err
	}
	defer parent.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	ran := make(chan error, 1)
	go func() {
		err := x.run(ctx, nil, w, "tar", "-c", "-f", "-", "-C", path.Dir(from), "--", path.Base(from))
		w.CloseWithError(err)
		ran <- err
	}()
	err = x.unpack(r, parent, path.Base(from), name)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the padding behind the end
	}
	if err != nil {
		r.CloseWithError(err)
		cancel()
	}
	if runErr := <-ran; runErr != nil && !errors.Is(runErr, context.Canceled) {
		return runErr // it tells why the archive ends
	}
	return err
}

// unpack writes the files of an archive below root. Its first name becomes another one; names
// that lead elsewhere are refused.
func (x *copier) unpack(r io.Reader, root *os.Root, first, name string) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rest, ok := strings.CutPrefix(path.Clean(h.Name), path.Clean(first))
		if !ok || rest != "" && rest[0] != '/' || strings.Count(rest, "/") > maxDepth {
			return fmt.Errorf("the archive has a file %q, which was not asked for", h.Name)
		}
		to := filepath.Join(name, filepath.FromSlash(rest))
		switch h.Typeflag {
		case tar.TypeDir:
			if err := root.Mkdir(to, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		case tar.TypeReg:
			x.progress.file(h.Name)
			if err := x.save(root, to, archive, os.FileMode(h.Mode)&0o777); err != nil {
				return err
			}
		default:
			x.skipped++
		}
	}
}

// Where the paths that a task knows by name are: drivers without file systems of their own have
// them elsewhere.
const placeScript = `case "$1" in
/alloc|/alloc/*) set -- "${NOMAD_ALLOC_DIR:-/alloc}${1#/alloc}" "$2" "$3";;
/local|/local/*) set -- "${NOMAD_TASK_DIR:-/local}${1#/local}" "$2" "$3";;
/secrets|/secrets/*) set -- "${NOMAD_SECRETS_DIR:-/secrets}${1#/secrets}" "$2" "$3";;
esac
case "$1" in */) set -- "$1$2" "$2" "$3";; *) if [ -d "$1" ]; then set -- "$1/$2" "$2" "$3"; fi;; esac
`

// upload copies into the task, whose shell writes.
func (x *copier) upload(ctx context.Context, from, to string) error {
	to, err := x.inTask(to)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	name, mode := filepath.Base(filepath.Clean(from)), strconv.FormatUint(uint64(info.Mode().Perm()), 8)
	if !info.IsDir() {
		file, err := os.Open(from)
		if err != nil {
			return err
		}
		defer file.Close()
		x.progress.file(from)
		return x.run(ctx, io.TeeReader(file, x.progress), io.Discard, "sh", "-c", placeScript+`cat > "$1" && chmod "$3" "$1"`, "sh", to, name, mode)
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := x.pack(w, from)
		w.CloseWithError(err)
		packed <- err
	}()
	err = x.run(ctx, r, io.Discard, "sh", "-c", placeScript+`mkdir -p "$1" && tar -x -f - -C "$1"`, "sh", to, name, mode)
	r.CloseWithError(io.ErrClosedPipe)
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, io.ErrClosedPipe) {
		return packErr
	}
	return err
}

// inTask is a path as the task knows it: one in the allocation's directory is named by the
// directories that the task has of it.
func (x *copier) inTask(to string) (string, error) {
	end := ""
	if strings.HasSuffix(to, "/") {
		end = "/"
	}
	clean := path.Clean(to)
	switch first, rest, _ := strings.Cut(clean, "/"); {
	case path.IsAbs(clean):
		return strings.TrimSuffix(clean, "/") + end, nil
	case first == "alloc":
		return "/" + clean + end, nil
	case first == x.task && (rest == "local" || strings.HasPrefix(rest, "local/") || rest == "secrets" || strings.HasPrefix(rest, "secrets/")):
		return "/" + rest + end, nil
	}
	return "", fmt.Errorf("%s is no place that task %q can write: alloc/…, %s/local/…, or an absolute path", to, x.task, x.task)
}

// pack writes a directory as an archive: files and directories, without links.
func (x *copier) pack(w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewWriter(w)
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if !d.IsDir() && !d.Type().IsRegular() {
			x.skipped++
			return nil
		}
		return x.packOne(archive, root, name)
	})
	return errors.Join(err, archive.Close())
}

func (x *copier) packOne(archive *tar.Writer, root *os.Root, name string) error {
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = filepath.ToSlash(name), 0, 0, "", ""
	if err := archive.WriteHeader(h); err != nil || info.IsDir() {
		return err
	}
	x.progress.file(name)
	_, err = io.Copy(archive, io.TeeReader(file, x.progress))
	return err
}
