package artifact

import (
	"crypto/md5"  //nolint:gosec // jobs may name such a sum
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// source is a parsed source.
type source struct {
	url      *url.URL
	subdir   string // of the archive
	archive  string // one of the formats; empty: it is taken as it is
	filename string // of a single file; empty: as the URL says
	checksum *checksum
}

// String names the source without its secrets.
func (s *source) String() string {
	shown := url.URL{Scheme: s.url.Scheme, Host: s.url.Host, Path: s.url.Path}
	return shown.String()
}

// waiting are kinds of sources that are not fetched, with what to use instead.
var waiting = map[string]string{
	"git":  "an archive of the repository over https, or a task that clones it",
	"hg":   "an archive of the repository over https, or a task that clones it",
	"s3":   "the object's https address, presigned if it is not public",
	"gcs":  "the object's https address, signed if it is not public",
	"file": "a host volume, or an image: files of the node are not for tasks",
}

// gitHosts are addresses without a scheme that stand for repositories.
var gitHosts = []string{"github.com/", "gitlab.com/", "bitbucket.org/", "git@"}

func refuseKind(kind string) error {
	use := waiting[kind]
	if use == "" {
		return fmt.Errorf("sources of kind %q are not known: use http or https", kind)
	}
	return fmt.Errorf("sources of kind %q are not supported: use %s", kind, use)
}

// parseSource reads a source in the form that job files have: a URL, before it perhaps
// http::, in its path perhaps a directory of the archive behind //, and in its query options.
func parseSource(raw string, options map[string]string) (*source, error) {
	if kind, rest, ok := strings.Cut(raw, "::"); ok && !strings.ContainsAny(kind, "/?.:") {
		if kind != "http" && kind != "https" {
			return nil, refuseKind(kind)
		}
		raw = rest
	}
	for _, host := range gitHosts {
		if strings.HasPrefix(raw, host) {
			return nil, refuseKind("git")
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("source is not a valid URL") // the error would show all of it
	}
	switch {
	case u.Scheme == "" && (u.Path == "" || !strings.ContainsAny(u.Path, "./")):
		return nil, errors.New("source must be a URL with http or https")
	case u.Scheme == "" && strings.Contains(raw, ".amazonaws.com/"):
		return nil, refuseKind("s3")
	case u.Scheme == "" && strings.HasPrefix(raw, "www.googleapis.com/"):
		return nil, refuseKind("gcs")
	case u.Scheme == "":
		return nil, refuseKind("file")
	case u.Scheme == "ssh":
		return nil, refuseKind("git")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, refuseKind(u.Scheme)
	case u.Host == "":
		return nil, errors.New("source has no host")
	}
	s := &source{url: u}
	if before, after, ok := strings.Cut(u.Path, "//"); ok {
		u.Path, u.RawPath = before, ""
		if s.subdir = path.Clean(after); !filepath.IsLocal(s.subdir) {
			return nil, fmt.Errorf("directory %q of the archive is outside of it", after)
		}
	}
	return s, s.readOptions(options)
}

// readOptions takes ours out of the query.
func (s *source) readOptions(options map[string]string) error {
	query := s.url.Query()
	for name, value := range options {
		query.Set(name, value)
	}
	take := func(name string) (string, bool) {
		value, there := query.Get(name), query.Has(name)
		query.Del(name)
		return value, there
	}
	for _, name := range []string{"sshkey", "depth", "ref", "rev"} {
		if _, there := options[name]; there {
			return fmt.Errorf("option %s is for repositories, which are not supported", name)
		}
	}
	sum, there := take("checksum")
	var err error
	if there {
		if s.checksum, err = parseChecksum(sum); err != nil {
			return err
		}
	}
	if s.filename, _ = take("filename"); s.filename != "" && (path.Base(s.filename) != s.filename || !filepath.IsLocal(s.filename)) {
		return fmt.Errorf("option filename: %q is not the name of a file", s.filename)
	}
	s.archive = formatOf(s.url.Path)
	if wanted, there := take("archive"); there {
		if s.archive, err = parseFormat(wanted, s.archive); err != nil {
			return err
		}
	}
	s.url.RawQuery = query.Encode()
	return nil
}

// formats are the archives that are known, by the ends of their names; longer ones first.
var formats = []string{"tar.bz2", "tar.zst", "tar.gz", "tar.xz", "tbz2", "tzst", "tgz", "txz", "tar", "zip", "bz2", "zst", "gz", "xz"}

// singles are the formats that hold one file without a name.
var singles = []string{"gz", "bz2", "xz", "zst"}

func formatOf(name string) string {
	for _, f := range formats {
		if strings.HasSuffix(name, "."+f) {
			return f
		}
	}
	return ""
}

// parseFormat reads the option archive: a format, or a bool that says whether to unpack.
func parseFormat(wanted, found string) (string, error) {
	if slices.Contains(formats, wanted) {
		return wanted, nil
	}
	unpack, err := strconv.ParseBool(wanted)
	if err != nil {
		return "", fmt.Errorf("option archive: %q is not one of %s, or false", wanted, strings.Join(formats, ", "))
	}
	if !unpack {
		return "", nil
	}
	return found, nil
}

// checksum is what the content must add up to.
type checksum struct {
	kind string
	make func() hash.Hash
	want []byte
}

// mismatch says that the content adds up to something else.
func (c *checksum) mismatch(got []byte) error {
	return fmt.Errorf("checksum: %s is %x, want %x: find out which file is the right one, then correct source or checksum", c.kind, got, c.want)
}

// sums are the kinds of checksums by their length in bytes.
var sums = []struct {
	kind string
	size int
	make func() hash.Hash
}{
	{"md5", md5.Size, md5.New}, {"sha1", sha1.Size, sha1.New}, {"sha256", sha256.Size, sha256.New}, {"sha512", sha512.Size, sha512.New},
}

// parseChecksum reads KIND:HEX; without a kind the length tells it.
func parseChecksum(s string) (*checksum, error) {
	kind, digits, ok := strings.Cut(s, ":")
	if !ok {
		kind, digits = "", s
	}
	if kind == "file" {
		return nil, errors.New("option checksum: files of checksums are not supported: write the checksum itself")
	}
	want, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("option checksum: %q is not hexadecimal", digits)
	}
	for _, k := range sums {
		if k.size == len(want) && (kind == "" || kind == k.kind) {
			return &checksum{k.kind, k.make, want}, nil
		}
	}
	return nil, fmt.Errorf("option checksum: %q is not md5, sha1, sha256 or sha512 with as many digits", s)
}

// target is where an artifact goes: into a directory, or to one file in it.
type target struct {
	dir  string
	file string // empty: what is in the archive goes into dir
}

// place decides on the target of a source.
func (s *source) place(mode, dest string) (target, error) {
	dest = filepath.Clean(dest)
	if !filepath.IsLocal(dest) {
		return target{}, fmt.Errorf("destination %q is outside of the task's directory", dest)
	}
	single := slices.Contains(singles, s.archive)
	switch mode {
	case ModeFile:
		if dest == "." {
			return target{}, errors.New("destination must name a file in mode file")
		}
		return target{filepath.Dir(dest), dest}, nil
	case ModeDir:
		if s.archive == "" || single {
			return target{}, errors.New("mode dir wants an archive of a directory")
		}
		return target{dir: dest}, nil
	case ModeAny, "":
	default:
		return target{}, fmt.Errorf("mode %q is not any, file or dir", mode)
	}
	switch {
	case single:
		return target{}, fmt.Errorf("a .%s holds one file without a name: say mode = \"file\" and its destination, or archive = false", s.archive)
	case s.archive != "":
		return target{dir: dest}, nil
	case s.subdir != "":
		return target{}, errors.New("the source names a directory of an archive, and is none")
	}
	name := s.filename
	if name == "" {
		name = path.Base(s.url.Path)
	}
	if name == "." || name == "/" || name == ".." {
		return target{}, errors.New("the source's address names no file: say filename in options, or mode = \"file\"")
	}
	return target{dest, filepath.Join(dest, name)}, nil
}
