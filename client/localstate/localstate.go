// Package localstate keeps on disk what a node must still know after its agent was killed:
// its allocations and how far each task has come.
//
// Every change is on disk when the method returns, so a caller writes down what it is about
// to do, does it, and writes down what came of it. Whoever opens the database after a crash
// finds the newest record that a method returned for, or the one it was about to return for.
package localstate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

// Format is the number of the layout that this code reads and writes. A database of
// another format is refused.
const Format = 1

var (
	bucketMeta   = []byte("meta")
	bucketAllocs = []byte("allocs")
	bucketTasks  = []byte("tasks") // holds one bucket per allocation
	keyFormat    = []byte("format")
	keyNodeMeta  = []byte("node_meta")
)

// Phase is how far a task has come. Each phase has one activity, which can be begun again
// from the record alone.
type Phase string

// The phases of a task.
const (
	PhaseWaiting   Phase = "waiting"   // for its turn
	PhaseLaunching Phase = "launching" // being prepared and started, under the number Attempt
	PhaseRunning   Phase = "running"
	PhaseStopping  Phase = "stopping" // the driver was asked to stop it
	PhaseDelaying  Phase = "delaying" // it starts again at RestartAt
	PhaseDead      Phase = "dead"
)

// Task is the record of one task of an allocation.
type Task struct {
	Phase     Phase
	Attempt   int             // number of the newest start; the driver's task ID is made of it
	Handle    *drivers.Handle // of the newest start; nil while launching and once it was removed
	State     *nomadish.TaskState
	Window    Window
	RestartAt time.Time
	Kill      *Kill // it shall end and not start again
	Restart   bool  // it shall end and start again, whatever the restart policy says
	Rewind    bool  // it shall end and wait for its turn again
}

// Kill says why a task ends.
type Kill struct {
	Reason    string
	Fails     bool // the task counts as failed
	SkipDelay bool // its shutdown_delay is left out
}

// Window counts the restarts within a restart policy's interval.
type Window struct {
	Start time.Time
	Count int
}

// Alloc is all that is known of an allocation.
type Alloc struct {
	Alloc *nomadish.Allocation // with Job
	Tasks map[string]*Task
}

// DB is the open database. Its methods may be called concurrently; writes that meet are
// put on disk together.
type DB struct {
	bolt *bbolt.DB

	mu      sync.Mutex
	writing bool
	pending []*write
}

// write is a change that waits to be put on disk.
type write struct {
	apply func(*bbolt.Tx) error
	done  chan error
	lead  chan struct{} // closed when the writer of this change shall write for all that wait
}

// Open opens the database in a file, and makes it when there is none. It fails when another
// process holds it for longer than a few seconds.
func Open(path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("local state: %w", err)
	}
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("local state %s: another process uses it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("local state %s: %w", path, err)
	}
	if err := bolt.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("local state %s: %w", path, err), bolt.Close())
	}
	return &DB{bolt: bolt}, nil
}

// prepare checks the format and makes the buckets.
func prepare(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	switch got := meta.Get(keyFormat); {
	case got == nil:
		if err := meta.Put(keyFormat, binary.BigEndian.AppendUint32(nil, Format)); err != nil {
			return err
		}
	case len(got) != 4 || binary.BigEndian.Uint32(got) != Format:
		return fmt.Errorf("its format is %x, this program knows %d", got, Format)
	}
	for _, name := range [][]byte{bucketAllocs, bucketTasks} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the database. No other method may run or be called after it.
func (db *DB) Close() error { return db.bolt.Close() }

// PutAlloc stores an allocation with its job.
func (db *DB) PutAlloc(a *nomadish.Allocation) error {
	data, err := encodeAlloc(a)
	if err != nil {
		return fmt.Errorf("local state: allocation %s: %w", a.ID, err)
	}
	return db.update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketAllocs).Put([]byte(a.ID), data)
	})
}

// PutTask stores the record of a task.
func (db *DB) PutTask(allocID, task string, t *Task) error {
	data, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("local state: task %s/%s: %w", allocID, task, err)
	}
	return db.update(func(tx *bbolt.Tx) error {
		b, err := tx.Bucket(bucketTasks).CreateBucketIfNotExists([]byte(allocID))
		if err != nil {
			return err
		}
		return b.Put([]byte(task), data)
	})
}

// PutNodeMeta stores the node's metadata that was set while it ran.
func (db *DB) PutNodeMeta(meta map[string]*string) error {
	data, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("local state: node's metadata: %w", err)
	}
	return db.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyNodeMeta, data) })
}

// NodeMeta returns the node's metadata that was stored last, or none.
func (db *DB) NodeMeta() (meta map[string]*string, err error) {
	err = db.bolt.View(func(tx *bbolt.Tx) error {
		if data := tx.Bucket(bucketMeta).Get(keyNodeMeta); data != nil {
			return json.Unmarshal(data, &meta)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("local state: node's metadata: %w", err)
	}
	return meta, nil
}

// DeleteAlloc forgets an allocation and its tasks. Forgetting twice is no error.
func (db *DB) DeleteAlloc(id string) error {
	return db.update(func(tx *bbolt.Tx) error {
		err := tx.Bucket(bucketTasks).DeleteBucket([]byte(id))
		if err != nil && !errors.Is(err, bbolterrors.ErrBucketNotFound) {
			return err
		}
		return tx.Bucket(bucketAllocs).Delete([]byte(id))
	})
}

// Allocs returns all allocations, sorted by ID. An allocation that can't be read does not
// hide the others: they are returned together with an error that names it.
func (db *DB) Allocs() ([]*Alloc, error) {
	var out []*Alloc
	var errs []error
	err := db.bolt.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketAllocs).ForEach(func(id, data []byte) error {
			a, err := decodeAlloc(data)
			if err == nil {
				err = readTasks(tx.Bucket(bucketTasks).Bucket(id), a)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("local state: allocation %s: %w", id, err))
				return nil
			}
			out = append(out, a)
			return nil
		})
	})
	return out, errors.Join(append(errs, err)...)
}

// encodeAlloc writes an allocation and behind it its job, which the allocation's own
// encoding leaves out.
func encodeAlloc(a *nomadish.Allocation) ([]byte, error) {
	if a.Job == nil {
		return nil, errors.New("it has no job")
	}
	row := codec.AppendBytes(nil, codec.Marshal(a))
	return codec.AppendBytes(row, codec.Marshal(a.Job)), nil
}

func decodeAlloc(row []byte) (*Alloc, error) {
	r := codec.NewReader(row)
	alloc, job := r.Bytes(), r.Bytes()
	if err := r.Err(); err != nil {
		return nil, err
	}
	a := &nomadish.Allocation{Job: &nomadish.Job{}}
	if err := codec.Unmarshal(alloc, a); err != nil {
		return nil, err
	}
	if err := codec.Unmarshal(job, a.Job); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	return &Alloc{Alloc: a, Tasks: map[string]*Task{}}, nil
}

func readTasks(b *bbolt.Bucket, a *Alloc) error {
	if b == nil {
		return nil
	}
	return b.ForEach(func(name, data []byte) error {
		var t Task
		if err := json.Unmarshal(data, &t); err != nil {
			return fmt.Errorf("task %s: %w", name, err)
		}
		a.Tasks[string(name)] = &t
		return nil
	})
}

// update puts a change on disk. The first of several that meet writes for all of them: one
// sync for any number of tasks that start at once.
func (db *DB) update(apply func(*bbolt.Tx) error) error {
	w := &write{apply: apply, done: make(chan error, 1), lead: make(chan struct{})}
	db.mu.Lock()
	db.pending = append(db.pending, w)
	if db.writing {
		db.mu.Unlock()
		select {
		case err := <-w.done:
			return err
		case <-w.lead:
		}
		db.mu.Lock()
	}
	db.writing = true
	batch := db.pending
	db.pending = nil
	db.mu.Unlock()

	db.commit(batch)

	db.mu.Lock()
	db.writing = len(db.pending) > 0
	if db.writing {
		close(db.pending[0].lead)
	}
	db.mu.Unlock()
	return <-w.done
}

// commit writes a batch in one transaction; when that fails, each change in its own, so
// that a change answers only for itself.
func (db *DB) commit(batch []*write) {
	err := db.bolt.Update(func(tx *bbolt.Tx) error {
		for _, w := range batch {
			if err := w.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range batch {
		if err != nil && len(batch) > 1 {
			w.done <- wrap(db.bolt.Update(w.apply))
			continue
		}
		w.done <- wrap(err)
	}
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("local state: write: %w", err)
	}
	return nil
}
