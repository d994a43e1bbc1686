package cli

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// debugReadme says what is in a debug archive.
const debugReadme = `What "nomadish operator debug" collected.

version.json    of the program that asked and of the agent, and how it was asked
cluster/        the agent that was asked, servers, leader, regions, replication, scheduler, namespaces, node pools
state/NNN/      nodes, jobs, allocations, evaluations, deployments and metrics, once per interval
jobs/           each job
monitor.log     the log of the agent that was asked
events.ndjson   what changed in the meantime and shortly before, a line for each command
pprof/          profiles of the agent that was asked (go tool pprof FILE), if it allows that
errors.txt      what could not be collected, if there is such a thing

Environments, templates, meta, driver options and the like are left out, and so is all that is
named like a secret: "<redacted>" stands there.
`

// bundle is a compressed tar archive. Its methods may be called concurrently.
type bundle struct {
	name string // of the directory that holds all
	now  func() time.Time

	mu     sync.Mutex
	zip    *gzip.Writer
	tar    *tar.Writer
	files  int
	err    error // of the first write that failed
	failed []string
}

func newBundle(w io.Writer, name string, now func() time.Time) *bundle {
	z := gzip.NewWriter(w)
	b := &bundle{name: name, now: now, zip: z, tar: tar.NewWriter(z)}
	b.add("README.md", []byte(debugReadme))
	return b
}

// add adds a file.
func (b *bundle) add(name string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write(name, data)
}

func (b *bundle) write(name string, data []byte) {
	if b.err != nil {
		return
	}
	b.err = b.tar.WriteHeader(&tar.Header{Name: b.name + "/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: b.now()})
	if b.err == nil {
		_, b.err = b.tar.Write(data)
	}
	b.files++
}

// fail notes what is missing, and why.
func (b *bundle) fail(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = append(b.failed, fmt.Sprintf("%s: %v", name, err))
}

// missing counts what is missing.
func (b *bundle) missing() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.failed)
}

// close completes the archive.
func (b *bundle) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.failed) > 0 {
		slices.Sort(b.failed)
		b.write("errors.txt", []byte(strings.Join(b.failed, "\n")+"\n"))
	}
	return errors.Join(b.err, b.tar.Close(), b.zip.Close())
}
