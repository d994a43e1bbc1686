package nomadish

import "time"

// AllocFileInfo describes a file or directory of an allocation.
type AllocFileInfo struct {
	Name        string
	IsDir       bool
	Size        int64
	FileMode    string
	ModTime     time.Time
	ContentType string // of regular files; empty for others
}

// What happened to a followed file (StreamFrame.FileEvent).
const (
	FileEventDeleted   = "file deleted"
	FileEventTruncated = "file truncated"
)

// StreamFrame is a piece of a file that is streamed. The zero frame is a heartbeat.
type StreamFrame struct {
	Offset    int64  `json:",omitempty"` // in the file, behind Data
	Data      []byte `json:",omitempty"`
	File      string `json:",omitempty"`
	FileEvent string `json:",omitempty"`
}

// LogRequest asks for a task's captured output.
type LogRequest struct {
	AllocID string
	Task    string
	Type    string // stdout or stderr
	Offset  int64  // from Origin, in all kept files taken as one
	Origin  string // start (default) or end
	Follow  bool
}

// FileRequest asks for the content of a file of an allocation.
type FileRequest struct {
	AllocID string
	Path    string
	Offset  int64  // from Origin
	Limit   int64  // 0: to the end
	Origin  string // start (default) or end
	Follow  bool
}
