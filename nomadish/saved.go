package nomadish

import "time"

// SavedSnapshots are the files in which a server saves the state by itself.
type SavedSnapshots struct {
	Server   string       // its name
	Dir      string       // where the files are, on its machine; empty: it saves none
	Interval TextDuration // time between two of them
	Retain   int          // how many are kept

	Failures  int    // to save, since the last success
	LastError string `json:",omitempty"` // why the last one failed; empty: it did not
	Snapshots []*SavedSnapshot
}

// SavedSnapshot is one of the files, whole and verified when it was written.
type SavedSnapshot struct {
	Name    string // of the file
	Index   uint64 // of the state
	Bytes   int64
	Created time.Time
}
