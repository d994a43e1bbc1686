package logstore

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrFull says that an append was refused because the disk is full. Nothing was stored, and the next
// append may succeed.
var ErrFull = errors.New("no space left for the log")

// CorruptError says that stored data is not what was written. The store that returns it has changed
// nothing and gives no data from the place; the server's data has to come from its peers or from a backup.
type CorruptError struct {
	File   string
	Offset int64  // of what is damaged in the file; 0 where that is all of it, or not known
	Index  uint64 // the entry that is damaged or missing; 0 where it is not about one
	Reason string
}

func (e *CorruptError) Error() string {
	where := ""
	if e.Offset > 0 {
		where = fmt.Sprintf(" at byte %d", e.Offset)
	}
	if e.Index > 0 {
		return fmt.Sprintf("%s is damaged%s: entry %d: %s", e.File, where, e.Index, e.Reason)
	}
	return fmt.Sprintf("%s is damaged%s: %s", e.File, where, e.Reason)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
