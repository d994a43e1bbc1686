package nomadish

import "time"

// NodeImage is an image that a node keeps for its tasks.
type NodeImage struct {
	Node        string `json:",omitempty"` // its name, where several were asked
	Name        string // in full: docker.io/library/redis:7
	Digest      string
	Size        int64 // bytes, as a registry sends them
	Created     time.Time
	Kept        bool       // until it is removed; else a node removes it some time after its last use
	Containers  int        // made from it
	UnusedSince *time.Time `json:",omitempty"` // as far as the node has noticed
}

// ImageProgress is one line of a node's answer while it gets an image. The last one has the
// image, or an error.
type ImageProgress struct {
	Message string     `json:",omitempty"`
	Done    int64      `json:",omitempty"` // of Total bytes
	Total   int64      `json:",omitempty"`
	Image   *NodeImage `json:",omitempty"`
	Error   string     `json:",omitempty"`
}
