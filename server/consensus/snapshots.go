package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// snapshots is a raft.SnapshotStore. A snapshot is one file, which has its name only when it is whole:
//
//	magic "nmdshsnp", format 1 (8 bytes each), then parts: length (8), sum (8), bytes
//
// The first part is the description in JSON, then come the snapshot's bytes, then a part of no bytes.
// Each sum includes the one before. All numbers are little-endian.
type snapshots struct {
	fs  vfs.FS
	dir string
}

const (
	snapshotMagic   = "nmdshsnp"
	snapshotFormat  = 1
	snapshotSuffix  = ".snap"
	snapshotName    = "%020d-%020d" + snapshotSuffix // index, term
	snapshotsKept   = 2
	snapshotPart    = 256 << 10
	snapshotHeader  = 16
	snapshotMetaMax = 1 << 20
)

// openSnapshots makes the directory and removes what crashes left.
func openSnapshots(fsys vfs.FS, dir string) (*snapshots, error) {
	s := &snapshots{fs: fsys, dir: dir}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".tmp") {
			if err := fsys.Remove(filepath.Join(dir, name)); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// names returns the files, newest snapshot first.
func (s *snapshots) names() ([]string, error) {
	all, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(n string) bool { return !strings.HasSuffix(n, snapshotSuffix) })
	slices.Reverse(names)
	return names, nil
}

// List returns what snapshots there are, newest first. One that can't be read is an error, not an absence.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	metas := []*raft.SnapshotMeta{}
	for _, name := range names {
		r, err := s.open(name)
		if err != nil {
			return nil, err
		}
		metas = append(metas, &r.meta)
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return metas, nil
}

// Open verifies a snapshot whole, and then gives its bytes: what reads them never gets a damaged one halfway.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	r, err := s.open(id)
	if err != nil {
		return nil, nil, err
	}
	size, err := io.Copy(io.Discard, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, nil, err
	}
	if r, err = s.open(id); err != nil {
		return nil, nil, err
	}
	r.meta.Size = size
	return &r.meta, r, nil
}

// Create begins a snapshot. It is in the store once its sink is closed. One that is older than what there is
// was sent by a leader that does not know of that: raft would take it, and drop the entries between.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	meta := raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf(snapshotName, index, term), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	if len(names) > 0 && meta.ID < names[0] { // their order is that of their indexes
		return nil, fmt.Errorf("snapshot %s is older than %s, which is here", meta.ID, names[0])
	}
	described, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	f, err := vfs.Create(s.fs, filepath.Join(s.dir, meta.ID+".tmp"))
	if err != nil {
		return nil, err
	}
	sink := &snapshotSink{store: s, f: f, id: meta.ID}
	head := le.AppendUint64([]byte(snapshotMagic), snapshotFormat)
	if _, err := f.WriteAt(head, 0); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	sink.off = int64(len(head))
	if err := sink.part(described); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// reap removes all but the newest snapshots.
func (s *snapshots) reap(keep int) error {
	names, err := s.names()
	if err != nil || len(names) <= keep {
		return err
	}
	for _, name := range names[keep:] {
		if err := s.fs.Remove(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(s.dir)
}

// snapshotSink writes one snapshot.
type snapshotSink struct {
	store *snapshots
	f     vfs.File
	id    string
	off   int64
	sum   uint64
	buf   []byte
	ended bool
}

// ID implements raft.SnapshotSink.
func (k *snapshotSink) ID() string { return k.id }

// Write implements raft.SnapshotSink.
func (k *snapshotSink) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		room := min(snapshotPart-len(k.buf), len(p))
		k.buf = append(k.buf, p[:room]...)
		p = p[room:]
		if len(k.buf) == snapshotPart {
			if err := k.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (k *snapshotSink) flush() error {
	if len(k.buf) == 0 {
		return nil
	}
	err := k.part(k.buf)
	k.buf = k.buf[:0]
	return err
}

func (k *snapshotSink) part(p []byte) error {
	b := le.AppendUint64(make([]byte, 0, snapshotHeader+len(p)), uint64(len(p)))
	k.sum = logstore.Checksum(k.sum, b, p)
	b = append(le.AppendUint64(b, k.sum), p...)
	n, err := k.f.WriteAt(b, k.off)
	k.off += int64(n)
	return err
}

// Close makes the snapshot durable and puts it into the store.
func (k *snapshotSink) Close() error {
	if k.ended {
		return nil
	}
	if err := k.finish(); err != nil {
		return errors.Join(err, k.Cancel())
	}
	k.ended = true
	tmp, name := filepath.Join(k.store.dir, k.id+".tmp"), filepath.Join(k.store.dir, k.id)
	if err := k.f.Close(); err != nil {
		return err
	}
	if err := k.store.fs.Rename(tmp, name); err != nil {
		return err
	}
	if err := k.store.fs.SyncDir(k.store.dir); err != nil {
		return err
	}
	return k.store.reap(snapshotsKept)
}

func (k *snapshotSink) finish() error {
	if err := k.flush(); err != nil {
		return err
	}
	if err := k.part(nil); err != nil {
		return err
	}
	return k.f.Sync()
}

// Cancel drops the snapshot.
func (k *snapshotSink) Cancel() error {
	if k.ended {
		return nil
	}
	k.ended = true
	return errors.Join(k.f.Close(), k.store.fs.Remove(filepath.Join(k.store.dir, k.id+".tmp")))
}

// snapshotReader gives the bytes of a snapshot and verifies each part before.
type snapshotReader struct {
	f    vfs.File
	name string
	meta raft.SnapshotMeta
	off  int64
	at   int64 // where the part begins that was read last
	sum  uint64
	part []byte
	end  bool
}

func (s *snapshots) open(id string) (*snapshotReader, error) {
	if id != filepath.Base(id) {
		return nil, fmt.Errorf("snapshot %q: not a name", id)
	}
	name := filepath.Join(s.dir, id)
	f, err := vfs.Open(s.fs, name)
	if err != nil {
		return nil, err
	}
	r := &snapshotReader{f: f, name: name}
	if err := r.readHead(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if r.meta.ID != id {
		return nil, errors.Join(r.damaged("it is that of "+r.meta.ID), f.Close())
	}
	return r, nil
}

func (r *snapshotReader) damaged(reason string) error {
	return &logstore.CorruptError{File: r.name, Offset: r.at, Reason: reason}
}

func (r *snapshotReader) readHead() error {
	head := make([]byte, 16)
	if err := r.read(head); err != nil {
		return err
	}
	if string(head[:8]) != snapshotMagic {
		return r.damaged("it is no snapshot")
	}
	if format := le.Uint64(head[8:]); format != snapshotFormat {
		return fmt.Errorf("%s: format %d is not known to this version", r.name, format)
	}
	if err := r.next(snapshotMetaMax); err != nil {
		return err
	}
	if err := json.Unmarshal(r.part, &r.meta); err != nil {
		return r.damaged("its description can't be read")
	}
	r.part = nil
	return nil
}

// read fills p from where the last read ended.
func (r *snapshotReader) read(p []byte) error {
	n, err := r.f.ReadAt(p, r.off)
	r.off += int64(n)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return r.damaged("it ends too early")
	}
	return err
}

func (r *snapshotReader) next(limit uint64) error {
	r.at = r.off
	head := make([]byte, snapshotHeader)
	if err := r.read(head); err != nil {
		return err
	}
	size := le.Uint64(head)
	if size > limit {
		return r.damaged("a part is too long")
	}
	r.part = make([]byte, size)
	if err := r.read(r.part); err != nil {
		return err
	}
	r.sum = logstore.Checksum(r.sum, head[:8], r.part)
	if r.sum != le.Uint64(head[8:]) {
		return r.damaged("checksum differs")
	}
	return nil
}

// Read implements io.ReadCloser.
func (r *snapshotReader) Read(p []byte) (int, error) {
	for len(r.part) == 0 {
		if r.end {
			return 0, io.EOF
		}
		if err := r.next(snapshotPart); err != nil {
			return 0, err
		}
		r.end = len(r.part) == 0
	}
	n := copy(p, r.part)
	r.part = r.part[n:]
	return n, nil
}

// Close implements io.ReadCloser.
func (r *snapshotReader) Close() error { return r.f.Close() }
