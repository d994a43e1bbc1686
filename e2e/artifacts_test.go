//go:build linux

package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// Archives of a file hello in formats that nothing here can write.
const (
	tarXZ  = "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AGNdADQZSe6N1/i4P8k3Mt7I1YCE//IZ90G1wny6qtj+Uw2SLrdOtbDVDHkBNd8gMzG1RKmGgM6ah25If33HzYiEh9UC0UDmmfcrPuMSxRdhOR/IUirQ/iMkWCofm4ZbOVvFUV35AAAA3UR7izaPd0sAAX+AUAAAAPnUykOxxGf7AgAAAAAEWVo="
	tarBZ2 = "QlpoOTFBWSZTWV5SEdkAAHJ7hMmAAERAAG+AAAhuTN4AAACACCAAVDSjENNA09QxlHqCSmUAA0ANBL7qx3Qg2nASI41Eba6DCCSBggNJmdJaOQm484u4wO4LPyqJVHqDFg0dFaAZoERAfi7kinChILykI7I="
)

// The bounds of the node's artifacts, under Nomad's names.
var artifactLimits = map[string]any{
	"http_max_size": "100MB", "decompression_size_limit": "80MB", "decompression_file_count_limit": 20,
}

// tarOf packs files: names and contents in turn.
func tarOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for f := range slices.Chunk(files, 2) {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f[0], Mode: 0o644, Size: int64(len(f[1]))}))
		_, err := io.WriteString(w, f[1])
		must(t, err)
	}
	must(t, w.Close())
	return out.Bytes()
}

func packedWith(t *testing.T, w io.WriteCloser, out *bytes.Buffer, data []byte) []byte {
	t.Helper()
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

func gzipOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	return packedWith(t, gzip.NewWriter(&out), &out, data)
}

func zstdOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out)
	must(t, err)
	return packedWith(t, w, &out, data)
}

func zipOf(t *testing.T, name, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.Create(name)
	must(t, err)
	_, err = io.WriteString(f, content)
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

// webServer serves the artifacts of this test.
func webServer(t *testing.T) *httptest.Server {
	t.Helper()
	var many []string
	for i := range 30 {
		many = append(many, "f"+strconv.Itoa(i), "")
	}
	xz, err := base64.StdEncoding.DecodeString(tarXZ)
	must(t, err)
	bz2, err := base64.StdEncoding.DecodeString(tarBZ2)
	must(t, err)
	tree := tarOf(t, "bin/run", "run", "lib/a", "a")
	files := map[string][]byte{
		"/hello": []byte("hello"), "/a.tar": tree, "/a.tar.gz": gzipOf(t, tree), "/a.tgz": gzipOf(t, tree), "/a.tar.zst": zstdOf(t, tree),
		"/a.tar.xz": xz, "/a.tar.bz2": bz2, "/a.zip": zipOf(t, "z/hello", "zipped"), "/hello.gz": gzipOf(t, []byte("hello")),
		"/many.tar": tarOf(t, many...), "/up.tar": tarOf(t, "../../escaped", "x"), "/cut.tar.gz": gzipOf(t, tree)[:50],
		"/big.tar": tarOf(t, "zeroes", string(make([]byte, 81_000_000))), "/bomb.tar.gz": gzipOf(t, tarOf(t, "zeroes", string(make([]byte, 70<<20)))),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch content, ok := files[r.URL.Path]; {
		case r.URL.Path == "/large":
			w.Header().Set("Content-Length", "200000000")
		case r.URL.Path == "/private" && r.Header.Get("X-Token") == "n1":
			_, _ = io.WriteString(w, "private")
		case r.URL.Path == "/private":
			http.Error(w, "who are you?", http.StatusForbidden)
		case ok:
			_, _ = w.Write(content)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// A task has its artifacts before it starts, as its job says: from archives of every format
// and single files, to where they shall go, with the options and headers that are given. Or
// it does not start, nothing of the artifact is there, and an event says why and which limit
// to raise.
func TestArtifacts(t *testing.T) {
	server := webServer(t)
	n := newNode(t, machine.Config{Dev: true, Client: map[string]any{
		"artifact": artifactLimits, "meta": map[string]any{"up": "../../.."},
	}})
	sum := sha256.Sum256([]byte("hello"))
	tree := []string{"main/local/bin/run run", "main/local/lib/a a"}
	options := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for p := range slices.Chunk(pairs, 2) {
			m[p[0]] = p[1]
		}
		return m
	}
	for name, tt := range map[string]struct {
		path, mode, dest string
		options, headers map[string]string
		want             []string
		err              string
	}{
		"file":               {path: "/hello", want: []string{"main/local/hello hello"}},
		"tar":                {path: "/a.tar", want: tree},
		"tar.gz":             {path: "/a.tar.gz", want: tree},
		"tgz":                {path: "/a.tgz", want: tree},
		"tar.zst":            {path: "/a.tar.zst", want: tree},
		"tar.xz":             {path: "/a.tar.xz", want: []string{"main/local/hello packed"}},
		"tar.bz2":            {path: "/a.tar.bz2", want: []string{"main/local/hello packed"}},
		"zip":                {path: "/a.zip", want: []string{"main/local/z/hello zipped"}},
		"part of an archive": {path: "/a.tar.gz//lib", want: []string{"main/local/a a"}},
		"archive as it is":   {path: "/hello.gz", options: options("archive", "false", "filename", "other"), dest: "local/d", want: []string{"main/local/d/other"}},
		"mode file":          {path: "/hello", mode: "file", dest: "local/renamed", want: []string{"main/local/renamed hello"}},
		"mode file, packed":  {path: "/hello.gz", mode: "file", dest: "local/x", want: []string{"main/local/x hello"}},
		"mode dir":           {path: "/a.tar", mode: "dir", dest: "local/tree", want: []string{"main/local/tree/bin/run run", "main/local/tree/lib/a a"}},
		"shared destination": {path: "/hello", dest: "${NOMAD_ALLOC_DIR}/data", want: []string{"alloc/data/hello hello"}},
		"secret destination": {path: "/hello", dest: "secrets/", want: []string{"main/secrets/hello hello"}},
		"header":             {path: "/private", headers: options("X-Token", "${node.unique.name}"), want: []string{"main/local/private private"}},
		"checksum":           {path: "/hello", options: options("checksum", "sha256:"+hex.EncodeToString(sum[:])), want: []string{"main/local/hello hello"}},

		"wrong checksum":   {path: "/hello", options: options("checksum", "sha256:"+strings.Repeat("0", 64)), err: "checksum: sha256 is " + hex.EncodeToString(sum[:]) + ", want 0000"},
		"no header":        {path: "/private", err: "the server answered 403 Forbidden"},
		"missing":          {path: "/none", err: "the server answered 404 Not Found"},
		"cut off":          {path: "/cut.tar.gz", err: "unexpected EOF"},
		"mode dir, a file": {path: "/hello", mode: "dir", err: "mode dir wants an archive of a directory"},
		"large":            {path: "/large", err: "larger than 100000000 bytes (client.artifact.http_max_size)"},
		"unpacked size":    {path: "/big.tar", err: "more than 80000000 bytes (client.artifact.decompression_size_limit)"},
		"files":            {path: "/many.tar", err: "more than 20 entries (client.artifact.decompression_file_count_limit)"},
		"bomb":             {path: "/bomb.tar.gz", err: "times as large"},
		"escaping entry":   {path: "/up.tar", err: `entry "../../escaped" is outside of the archive`},
		"escaping":         {path: "/hello", dest: "${meta.up}/x", err: "is outside of the task's directory"},
		"git":              {path: "git::https://host.invalid/x", err: `sources of kind "git" are not supported: use an archive of the repository over https`},
	} {
		t.Run(name, func(t *testing.T) {
			source := tt.path
			if strings.HasPrefix(source, "/") {
				source = server.URL + source
			}
			id := "artifact-" + strings.NewReplacer(" ", "-", ",", "").Replace(name)
			job := machine.Shell(id, nomadish.JobTypeBatch, listing)
			artifact := &nomadish.TaskArtifact{GetterSource: &source, GetterOptions: tt.options, GetterHeaders: tt.headers}
			if tt.mode != "" {
				artifact.GetterMode = &tt.mode
			}
			if tt.dest != "" {
				artifact.RelativeDest = &tt.dest
			}
			job.TaskGroups[0].Tasks[0].Artifacts = []*nomadish.TaskArtifact{artifact}
			ctx := testContext(t)
			_, err := n.Register(ctx, job)
			must(t, err)
			a, err := n.Allocation(ctx, id, nomadish.AllocClientComplete, nomadish.AllocClientFailed)
			must(t, err)
			events := machine.Events(a)
			if tt.err != "" {
				notFetched(t, n, a, tt.err)
				return
			}
			out, err := n.Output(ctx, a.ID, machine.Task)
			must(t, err)
			got := strings.Split(strings.TrimSpace(out), "\n")
			if name == "archive as it is" { // its content is no text
				got[0], _, _ = strings.Cut(got[0], " ")
			}
			if !slices.Equal(got, tt.want) || a.ClientStatus != nomadish.AllocClientComplete {
				t.Errorf("%s: got %q, want %q; events %q", a.ClientStatus, got, tt.want, events)
			}
			downloading := slices.Index(events, "Downloading Artifacts: Client is downloading artifacts")
			if started := slices.IndexFunc(events, func(e string) bool { return strings.HasPrefix(e, "Started") }); downloading < 0 || started < downloading {
				t.Errorf("events: %q", events)
			}
		})
	}
}

// listing prints what lies in an allocation's directories, each file with its content.
const listing = `cd "$NOMAD_TASK_DIR/../.." && find alloc/data main/local main/secrets -type f | LC_ALL=C sort | while read -r f; do echo "$f $(cat "$f")"; done`

// notFetched sees that a task has not started for want of an artifact, says why, and that
// nothing of it is there.
func notFetched(t *testing.T, n *machine.Node, a *nomadish.AllocationListStub, why string) {
	t.Helper()
	events := machine.Events(a)
	failed := slices.IndexFunc(events, func(e string) bool {
		return (strings.HasPrefix(e, nomadish.TaskEventArtifactFailed) || strings.HasPrefix(e, nomadish.TaskEventFailedValidation)) && strings.Contains(e, why)
	})
	if a.ClientStatus != nomadish.AllocClientFailed || failed < 0 || slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "Started") }) {
		t.Errorf("%s, want failed for %q; events %q", a.ClientStatus, why, events)
	}
	for _, dir := range []string{"alloc/data", "main/local"} {
		left, err := os.ReadDir(n.AllocFile(a.ID, dir))
		must(t, err)
		if len(left) > 0 {
			t.Errorf("%s holds %v", dir, left)
		}
	}
	if _, err := os.Stat(n.AllocFile(a.ID, "../escaped")); err == nil {
		t.Error(fmt.Errorf("an entry got out of the task's directory"))
	}
}
