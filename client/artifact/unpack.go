package artifact

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Bounds of archives that are not configured.
const (
	maxName    = 4096
	maxDepth   = 128
	maxWindow  = 128 << 20 // memory of a decompressor
	ratioFrom  = 64 << 20  // unpacked bytes, before which the ratio does not count
	zipEntry   = 1 << 10   // bytes of a zip's directory per entry
	zipTrailer = 1 << 20
)

// unpacker writes what is in an archive below a root.
type unpacker struct {
	ctx    context.Context //nolint:containedctx // it lives for one archive
	cfg    Config
	root   *os.Root
	packed func() int64 // bytes of the archive that were read

	entries int
	bytes   int64
	links   map[string]bool
	dirs    map[string]fs.FileMode // made, with the mode that each has in the end
	order   []string               // of dirs
	buf     []byte
}

// unpack writes what is in an archive below tree.
func (f *Fetcher) unpack(ctx context.Context, tree *os.Root, file *os.File, format string, t target) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	u := &unpacker{
		ctx: ctx, cfg: f.cfg, root: tree, links: map[string]bool{}, dirs: map[string]fs.FileMode{}, buf: make([]byte, 64<<10),
	}
	if format == "zip" {
		u.packed = info.Size
		err = u.zip(file, info.Size())
	} else {
		in := &meter{r: file}
		u.packed = func() int64 { return in.done }
		err = u.stream(bufio.NewReaderSize(in, 64<<10), format, path.Base(t.file))
	}
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return u.finish()
}

// stream unpacks a format that is read from its beginning to its end.
func (u *unpacker) stream(in io.Reader, format, name string) error {
	packing := strings.TrimPrefix(format, "tar.")
	switch format {
	case "tgz":
		packing = "gz"
	case "tbz2":
		packing = "bz2"
	case "txz":
		packing = "xz"
	case "tzst":
		packing = "zst"
	}
	r, err := expand(in, packing)
	if err != nil {
		return err
	}
	defer r.Close()
	if packing == format { // no tar around it
		if format == "tar" {
			return u.tar(r)
		}
		return u.file(name, 0o644, r)
	}
	return u.tar(r)
}

// expand undoes a compression. Its memory is bounded.
func expand(in io.Reader, packing string) (io.ReadCloser, error) {
	switch packing {
	case "gz":
		return gzip.NewReader(in)
	case "bz2":
		return io.NopCloser(bzip2.NewReader(in)), nil
	case "xz":
		r, err := xz.NewReader(in, maxWindow)
		return io.NopCloser(r), err
	case "zst":
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

func (u *unpacker) tar(in io.Reader) error {
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := u.ctx.Err(); err != nil {
			return err
		}
		mode := h.FileInfo().Mode().Perm()
		switch h.Typeflag {
		case tar.TypeXGlobalHeader, tar.TypeXHeader:
			continue
		case tar.TypeDir:
			err = u.directory(h.Name, mode)
		case tar.TypeReg, tar.TypeGNUSparse:
			err = u.file(h.Name, mode, r)
		case tar.TypeSymlink:
			err = u.link(h.Name, h.Linkname)
		case tar.TypeLink:
			err = u.copyOf(h.Name, h.Linkname, mode)
		default:
			err = fmt.Errorf("entry %s is no file, directory or link", quote(h.Name))
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(file io.ReaderAt, size int64) error {
	// The directory is read as a whole: bound it before, by what so many entries may take.
	bounded := &boundedReaderAt{r: file, left: zipTrailer + int64(max(u.cfg.UnpackedFiles, 4096))*zipEntry}
	r, err := zip.NewReader(bounded, size)
	if err != nil {
		return err
	}
	bounded.left = -1
	for _, f := range r.File {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		if err := u.zipEntry(f); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipEntry(f *zip.File) error {
	switch mode := f.Mode(); {
	case mode.IsDir():
		return u.directory(f.Name, mode.Perm())
	case mode.IsRegular() || mode&fs.ModeSymlink != 0:
		r, err := f.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		if mode.IsRegular() {
			return u.file(f.Name, mode.Perm(), r)
		}
		target, err := io.ReadAll(io.LimitReader(r, maxName+1))
		if err != nil {
			return err
		}
		return u.link(f.Name, string(target))
	}
	return fmt.Errorf("entry %s is no file, directory or link", quote(f.Name))
}

// enter checks an entry's name, counts it and makes the directories above it.
func (u *unpacker) enter(name string) (string, error) {
	clean := path.Clean(name)
	switch {
	case len(name) > maxName || strings.Count(clean, "/") >= maxDepth:
		return "", fmt.Errorf("entry %s: its name is longer than %d bytes or %d directories", quote(name), maxName, maxDepth)
	case !filepath.IsLocal(clean) || strings.ContainsRune(name, 0):
		return "", fmt.Errorf("entry %s is outside of the archive", quote(name))
	}
	if err := u.count(); err != nil {
		return "", err
	}
	for i, c := range clean {
		if c != '/' {
			continue
		}
		if err := u.makeDir(clean[:i], 0o755); err != nil {
			return "", err
		}
	}
	return clean, nil
}

func (u *unpacker) count() error {
	u.entries++
	if u.cfg.UnpackedFiles > 0 && u.entries > u.cfg.UnpackedFiles {
		return fmt.Errorf("more than %d entries (client.artifact.decompression_file_count_limit)", u.cfg.UnpackedFiles)
	}
	return nil
}

// makeDir makes a directory unless it is there. A link is none: nothing is written through it.
func (u *unpacker) makeDir(name string, mode fs.FileMode) error {
	if _, there := u.dirs[name]; there {
		return nil
	}
	if u.links[name] {
		return fmt.Errorf("entry %s is below a link of the archive", quote(name))
	}
	if err := u.count(); err != nil {
		return err
	}
	if err := u.root.Mkdir(name, 0o755); err != nil {
		return fmt.Errorf("entry %s: %w", quote(name), bareFS(err))
	}
	u.dirs[name] = mode
	u.order = append(u.order, name)
	return nil
}

func (u *unpacker) directory(name string, mode fs.FileMode) error {
	clean, err := u.enter(name)
	if err != nil || clean == "." {
		return err
	}
	if err := u.makeDir(clean, mode); err != nil {
		return err
	}
	u.dirs[clean] = mode
	return nil
}

// free makes sure that nothing is in an entry's place but what an earlier entry of the same
// name may have left.
func (u *unpacker) free(name string) error {
	delete(u.links, name)
	err := u.root.Remove(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("entry %s is there twice: %w", quote(name), bareFS(err))
	}
	delete(u.dirs, name)
	return nil
}

func (u *unpacker) file(name string, mode fs.FileMode, r io.Reader) error {
	clean, err := u.enter(name)
	if err != nil {
		return err
	}
	if clean == "." {
		return fmt.Errorf("entry %s names no file", quote(name))
	}
	if err := u.free(clean); err != nil {
		return err
	}
	w, err := u.root.OpenFile(clean, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("entry %s: %w", quote(name), bareFS(err))
	}
	err = u.copy(w, r)
	if err == nil {
		err = w.Chmod(mode.Perm())
	}
	return errors.Join(err, w.Close())
}

// copy writes content within the bounds.
func (u *unpacker) copy(w io.Writer, r io.Reader) error {
	for {
		n, err := r.Read(u.buf)
		u.bytes += int64(n)
		switch {
		case u.cfg.UnpackedSize > 0 && u.bytes > u.cfg.UnpackedSize:
			return fmt.Errorf("more than %d bytes (client.artifact.decompression_size_limit)", u.cfg.UnpackedSize)
		case u.bytes > ratioFrom && u.bytes/u.cfg.MaxRatio > u.packed():
			return fmt.Errorf("more than %d times as large as the archive", u.cfg.MaxRatio)
		case u.ctx.Err() != nil:
			return u.ctx.Err()
		}
		if _, err := w.Write(u.buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// link makes a symbolic link that can't lead out of the archive.
func (u *unpacker) link(name, to string) error {
	clean, err := u.enter(name)
	if err != nil {
		return err
	}
	if clean == "." || !staysInside(clean, to) {
		return fmt.Errorf("link %s leads out of the archive", quote(name))
	}
	if err := u.free(clean); err != nil {
		return err
	}
	if err := u.root.Symlink(to, clean); err != nil {
		return fmt.Errorf("link %s: %w", quote(name), bareFS(err))
	}
	u.links[clean] = true
	return nil
}

// copyOf writes a hard link as a copy of the entry that it names: a link would share that
// file with whoever shared it before.
func (u *unpacker) copyOf(name, of string, mode fs.FileMode) error {
	from := path.Clean(of)
	if !filepath.IsLocal(from) || from == path.Clean(name) {
		return fmt.Errorf("hard link %s leads out of the archive", quote(name))
	}
	for dir := from; dir != "."; dir = path.Dir(dir) {
		if u.links[dir] {
			return fmt.Errorf("hard link %s leads through a link", quote(name))
		}
	}
	info, err := u.root.Lstat(from)
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("hard link %s names no file of the archive", quote(name))
	}
	r, err := u.root.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("hard link %s: %w", quote(name), bareFS(err))
	}
	defer r.Close()
	return u.file(name, mode, r)
}

// finish gives the directories their modes, the deepest first. The agent must be able to
// remove what is in them.
func (u *unpacker) finish() error {
	for i := len(u.order) - 1; i >= 0; i-- {
		mode, there := u.dirs[u.order[i]]
		if !there {
			continue
		}
		if err := u.root.Chmod(u.order[i], mode.Perm()|0o700); err != nil {
			return err
		}
	}
	return nil
}

// boundedReaderAt reads no more than left bytes in all, until left is negative.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int64
}

func (b *boundedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if b.left >= 0 {
		if b.left -= int64(len(p)); b.left < 0 {
			b.left = 0
			return 0, errors.New("its directory is larger than its entries may take (client.artifact.decompression_file_count_limit)")
		}
	}
	return b.r.ReadAt(p, off)
}

// quote shows an entry's name, which the archive's maker chose.
func quote(name string) string {
	const most = 100
	if len(name) > most {
		name = name[:most] + "…"
	}
	return fmt.Sprintf("%q", name)
}

// bareFS takes the path out of an error: the entry's name says it.
func bareFS(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
