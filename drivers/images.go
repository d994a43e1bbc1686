package drivers

import (
	"context"
	"io"

	"github.com/nomadish/nomadish/nomadish"
)

// ImageKeeper is a driver that keeps images of its tasks on the node.
type ImageKeeper interface {
	Images() ImageStore
}

// ImageStore is what users can do with a node's images. Names are as in job files. Errors
// have the kinds of package nomadish.
type ImageStore interface {
	// List describes all images, by name.
	List(ctx context.Context) ([]*nomadish.NodeImage, error)
	// Load takes images from an OCI or docker archive, to be kept until they are removed.
	// The name is for an archive with one image, in place of the one it has; it may be empty.
	Load(ctx context.Context, archive io.Reader, name string) ([]*nomadish.NodeImage, error)
	// Pull gets an image from its registry with the node's credentials, to be kept until it
	// is removed. Notify is not called after it has returned; it may be nil.
	Pull(ctx context.Context, name string, notify func(*nomadish.ImageProgress)) (*nomadish.NodeImage, error)
	// Export writes an image as an OCI archive that docker reads as well.
	Export(ctx context.Context, name string, w io.Writer) error
	// Remove removes an image; one that containers were made from only by force. They go on.
	Remove(ctx context.Context, name string, force bool) error
}
