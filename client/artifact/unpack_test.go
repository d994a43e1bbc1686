package artifact

import (
	"archive/tar"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func contextWithRedirect(ctx context.Context, from string) context.Context {
	return context.WithValue(ctx, redirected{}, from)
}

// unpackBytes unpacks an archive below a root, as Fetch does it after the download.
func unpackBytes(t testing.TB, f *Fetcher, root *os.Root, data []byte, format string) error {
	t.Helper()
	s, err := newStage(root, target{dir: "d"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.remove(); err != nil {
			t.Errorf("remove the stage: %v", err)
		}
	}()
	file, err := s.file()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		t.Fatal(err)
	}
	tree, err := s.tree()
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if err := f.unpack(t.Context(), tree, file, format, target{dir: "d", file: "d/single"}); err != nil {
		return err
	}
	return s.putTree(tree, "", target{dir: "d"}, nil)
}

func TestUnpackRefuses(t *testing.T) {
	f, err := New(Config{UnpackedFiles: 20, UnpackedSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]entry, 21)
	for i := range many {
		many[i] = entry{name: strings.Repeat("x", i+1)}
	}
	deep := strings.Repeat("d/", 30) + "f"
	for name, tt := range map[string]struct {
		entries []entry
		want    string
	}{
		"up":                      {[]entry{{name: "../canary", body: "x"}}, `entry "../canary" is outside of the archive`},
		"up inside":               {[]entry{{name: "a/../../canary", body: "x"}}, `entry "a/../../canary" is outside of the archive`},
		"absolute":                {[]entry{{name: "/etc/x", body: "x"}}, `entry "/etc/x" is outside of the archive`},
		"link up":                 {[]entry{{name: "l", kind: tar.TypeSymlink, link: "../canary"}}, `link "l" leads out of the archive`},
		"link absolute":           {[]entry{{name: "l", kind: tar.TypeSymlink, link: "/etc"}}, `link "l" leads out of the archive`},
		"link up behind down":     {[]entry{{name: "a/l", kind: tar.TypeSymlink, link: "b/../../../x"}}, `link "a/l" leads out of the archive`},
		"link through a link":     {[]entry{{name: "d1/d2/l", kind: tar.TypeSymlink, link: "../../x"}, {name: "k", kind: tar.TypeSymlink, link: "d1/d2/l/../.."}}, `link "k" leads out of the archive`},
		"write through a link":    {[]entry{{name: "x/", kind: tar.TypeDir}, {name: "l", kind: tar.TypeSymlink, link: "x"}, {name: "l/f", body: "x"}}, `entry "l" is below a link of the archive`},
		"hard link":               {[]entry{{name: "h", kind: tar.TypeLink, link: "/etc/passwd"}}, `hard link "h" leads out of the archive`},
		"hard link up":            {[]entry{{name: "h", kind: tar.TypeLink, link: "../canary"}}, `hard link "h" leads out of the archive`},
		"hard link to a link":     {[]entry{{name: "l", kind: tar.TypeSymlink, link: "x"}, {name: "h", kind: tar.TypeLink, link: "l"}}, `hard link "h" leads through a link`},
		"hard link to itself":     {[]entry{{name: "h", body: "x"}, {name: "h", kind: tar.TypeLink, link: "h"}}, `hard link "h" leads out of the archive`},
		"hard link to a dir":      {[]entry{{name: "x/", kind: tar.TypeDir}, {name: "h", kind: tar.TypeLink, link: "x"}}, `hard link "h" names no file of the archive`},
		"device":                  {[]entry{{name: "null", kind: tar.TypeChar}}, `entry "null" is no file, directory or link`},
		"FIFO":                    {[]entry{{name: "p", kind: tar.TypeFifo}}, `entry "p" is no file, directory or link`},
		"long name":               {[]entry{{name: strings.Repeat("n", 300)}}, "file name too long"},
		"longer name":             {[]entry{{name: strings.Repeat("n/", 3000) + "n"}}, "its name is longer than 4096 bytes or 128 directories"},
		"many entries":            {many, "more than 20 entries (client.artifact.decompression_file_count_limit)"},
		"many directories":        {[]entry{{name: deep}}, "more than 20 entries (client.artifact.decompression_file_count_limit)"},
		"much":                    {[]entry{{name: "f", body: strings.Repeat("x", 1<<20+1)}}, "more than 1048576 bytes (client.artifact.decompression_size_limit)"},
		"file in place of dir":    {[]entry{{name: "a/b"}, {name: "a", body: "x"}}, `entry "a" is there twice`},
		"dir in place of file":    {[]entry{{name: "a", body: "x"}, {name: "a/b"}}, `entry "a": file exists`},
		"directory of the root":   {[]entry{{name: ".", body: "x"}}, `entry "." names no file`},
		"newlines are shown safe": {[]entry{{name: "/a\nb\x1b[2J", body: "x"}}, `entry "/a\nb\x1b[2J" is outside of the archive`},
	} {
		t.Run(name, func(t *testing.T) {
			root := into(t)
			err := unpackBytes(t, f, root, tarOf(t, tt.entries...), "tar")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if left := list(t, root); len(left) != 1 || left[0] != "d/ 755" {
				t.Errorf("it left %v", left)
			}
		})
	}
}

// A small archive must not fill the disk: 3 MB of zeroes packed are 3 GB.
func TestUnpackBomb(t *testing.T) {
	f, err := New(Config{MaxRatio: 100})
	if err != nil {
		t.Fatal(err)
	}
	bomb := make([]byte, ratioFrom+(8<<20))
	for _, format := range []string{"tar.gz", "zip", "gz"} {
		data := bomb
		switch format {
		case "tar.gz":
			data = gz(t, tarOf(t, entry{name: "zeroes", body: string(bomb)}))
		case "gz":
			data = gz(t, bomb)
		case "zip":
			data = zipOf(t, entry{name: "zeroes", body: string(bomb), mode: 0o600})
		}
		if err := unpackBytes(t, f, into(t), data, format); err == nil || !strings.Contains(err.Error(), "more than 100 times as large as the archive") {
			t.Errorf("%s of %d bytes: %v", format, len(data), err)
		}
	}
}

// A zip's directory is read into memory: it is bounded before.
func TestUnpackZipDirectory(t *testing.T) {
	f, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]entry, 12_000)
	for i := range entries {
		entries[i] = entry{name: strings.Repeat("n", 500), mode: 0o600}
	}
	err = unpackBytes(t, f, into(t), zipOf(t, entries...), "zip")
	if err == nil || !strings.Contains(err.Error(), "decompression_file_count_limit") {
		t.Errorf("got %v", err)
	}
}

// names are the parts of which the fuzzer makes entries' names and links' targets.
var names = [8]string{"a", "b", "..", ".", "l", "", "c/d", "canary"}

func nameOf(b byte) string {
	return strings.Join([]string{names[b&7], names[b>>3&7], names[b>>6]}[:1+int(b%3)], "/")
}

// archiveOf makes an archive of a script: four bytes are an entry, what is left changes a
// byte of the archive.
func archiveOf(t testing.TB, script []byte, format string) []byte {
	t.Helper()
	kinds := [8]byte{tar.TypeReg, tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeSymlink, tar.TypeLink, tar.TypeReg, tar.TypeFifo}
	var entries []entry
	for ; len(script) >= 4 && len(entries) < 64; script = script[4:] {
		e := entry{name: nameOf(script[1]), kind: kinds[script[0]&7], mode: int64(script[3]) << 4}
		switch e.kind {
		case tar.TypeReg:
			e.body = strings.Repeat("x", int(script[2])<<(script[0]>>5))
			e.name += "f"
		case tar.TypeDir:
			e.name += "/"
		default:
			e.name = strings.TrimRight(e.name, "/") + "l" // the writer refuses what ends in a slash
			e.link = nameOf(script[2])
		}
		entries = append(entries, e)
	}
	var data []byte
	switch format {
	case "zip":
		data = zipOf(t, entries...)
	case "gz":
		data = []byte(nameOf(byte(len(script))))
	default:
		data = tarOf(t, entries...)
	}
	if len(script) >= 2 && len(data) > 0 {
		data[int(script[0])*len(data)/256] = script[1]
	}
	switch format {
	case "tar.gz", "gz":
		data = gz(t, data)
	case "tar.zst":
		data = zst(t, data)
	}
	if len(script) == 3 {
		data = data[:int(script[2])*len(data)/256]
	}
	return data
}

// FuzzUnpack holds that whatever an archive holds, nothing outside of the destination
// changes, nothing in it leads out of it, and the bounds hold.
func FuzzUnpack(f *testing.F) {
	formats := []string{"tar", "zip", "tar.gz", "tar.zst", "gz"}
	for i := range formats {
		f.Add([]byte{2, 0, 0, 0x75, 0, 8, 9, 0x7f}, uint8(i))                    // a/, a/b
		f.Add([]byte{3, 4, 3, 0, 0, 0x94, 9, 0x7f}, uint8(i))                    // l -> ., l/../canary
		f.Add([]byte{3, 4, 2, 0, 5, 0, 4, 0xff, 0, 1, 9, 9}, uint8(i))           // l -> .., a = l
		f.Add([]byte{3, 30, 0x92, 0, 4, 4, 0x36, 0, 0, 0x3c, 1}, uint8(i))       // links through links
		f.Add([]byte{0xe0, 0, 255, 0, 0xe1, 1, 255, 0, 7, 0, 0}, uint8(i))       // much, and a FIFO
		f.Add([]byte{0, 2, 1, 0, 1, 0x3a, 1, 0x40, 128, 0x2e}, uint8(i))         // ../, a changed byte
		f.Add([]byte{2, 14, 0, 1, 3, 4, 0x10, 0, 0, 0x26, 5, 5}, uint8(i))       // into a directory that is a link
		f.Add([]byte{0, 0, 3, 3, 0, 0, 3, 3, 5, 1, 0, 9, 200}, uint8(i))         // twice the same
		f.Add([]byte{0, 0, 3, 3, 0, 0, 3, 3, 5, 1, 0, 9, 200, 0, 100}, uint8(i)) // cut off
	}
	const most, bytes = 30, 64 << 10
	fetcher, err := New(Config{UnpackedFiles: most, UnpackedSize: bytes})
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, script []byte, format uint8) {
		outer, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(outer) //nolint:errcheck // what stays is in the temporary directory
		if err := os.WriteFile(filepath.Join(outer, "canary"), []byte("canary"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(outer, "root"), 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(outer, "root"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		kind := formats[int(format)%len(formats)]
		_ = unpackBytes(t, fetcher, root, archiveOf(t, script, kind), kind) // refused or not
		checkCanary(t, outer)
		checkBounds(t, filepath.Join(outer, "root"), most+1, bytes)
	})
}

// checkBounds walks what was unpacked: how many, how much, no set-user-ID bits, and no link
// that leads out of it.
func checkBounds(t *testing.T, dir string, most int, bytes int64) {
	t.Helper()
	count, size := 0, int64(0)
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err != nil || name == dir {
			return err
		}
		count++
		switch {
		case info.Mode()&os.ModeSymlink != 0:
			at := filepath.Dir(name)
			to, err := os.Readlink(name)
			if err != nil {
				return err
			}
			if got := filepath.Join(at, to); filepath.IsAbs(to) || got != dir && !strings.HasPrefix(got, dir+"/d") {
				t.Errorf("link %q leads to %q", name, to)
			}
			if got, err := filepath.EvalSymlinks(name); err == nil && !strings.HasPrefix(got, dir+"/d") {
				t.Errorf("link %q leads to %q", name, got)
			}
		case info.Mode().IsRegular():
			size += info.Size()
		case !info.IsDir():
			t.Errorf("%q is %v", name, info.Mode())
		}
		if info.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 {
			t.Errorf("%q has mode %v", name, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count > most || size > bytes {
		t.Errorf("%d entries with %d bytes, want at most %d with %d", count, size, most, bytes)
	}
}

// Archives are read by this program alone: none that lies about under the name of a tool for
// them is run.
func TestUnpackRunsNoProgram(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	for _, tool := range []string{"tar", "unzip", "gzip", "gunzip", "pigz", "unpigz", "igzip", "bzip2", "bunzip2", "xz", "unxz", "zstd", "unzstd"} {
		if err := os.WriteFile(filepath.Join(dir, tool), []byte("#!/bin/sh\necho "+tool+" >> "+mark+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	f, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	plain := tarOf(t, entry{name: "f", body: "content"})
	for format, data := range map[string][]byte{
		"tar": plain, "tar.gz": gz(t, plain), "tar.zst": zst(t, plain), "zip": zipOf(t, entry{name: "f", body: "content", mode: 0o600}),
	} {
		if err := unpackBytes(t, f, into(t), data, format); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
	for _, format := range formats { // also of what is no archive
		_ = unpackBytes(t, f, into(t), []byte("no archive"), format)
	}
	if ran, err := os.ReadFile(mark); err == nil {
		t.Errorf("programs of PATH ran: %s", ran)
	}
}
