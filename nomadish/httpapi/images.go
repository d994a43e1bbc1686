package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Images keeps the images of this node's tasks. Names are as in job files.
type Images interface {
	List(ctx context.Context) ([]*nomadish.NodeImage, error)
	Load(ctx context.Context, archive io.Reader, name string) ([]*nomadish.NodeImage, error) // name "": the archive's
	// Pull calls notify while it waits, and not after it has returned.
	Pull(ctx context.Context, name string, notify func(*nomadish.ImageProgress)) (*nomadish.NodeImage, error)
	Export(ctx context.Context, name string, w io.Writer) error
	Remove(ctx context.Context, name string, force bool) error
}

// bodyImages is the largest archive of images unless the configuration says otherwise.
const bodyImages = 32 << 30

// imageStore returns the node's images.
func (a *API) imageStore() (Images, error) {
	if images := a.back.Node.Images; images != nil {
		return images, nil
	}
	return nil, nomadish.Errorf(nomadish.KindInvalid, "this node has no driver that keeps images")
}

func (a *API) listImages(r *Request) (any, error) {
	images, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	return images.List(r.Context())
}

// loadImages takes an archive bit by bit: it is far larger than memory.
func (a *API) loadImages(r *Request) (any, error) {
	images, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	defer r.control.SetReadDeadline(time.Time{}) //nolint:errcheck // the connection is gone, then
	loaded, err := images.Load(r.Context(), pieces{r}, r.Value("name"))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, r.tooLarge()
	}
	return loaded, err
}

// pieces is a request's body that may take any time as a whole, but of which something has
// to come all the time.
type pieces struct{ r *Request }

// Read waits at most bodyPause for the next piece.
func (p pieces) Read(b []byte) (int, error) {
	_ = p.r.control.SetReadDeadline(time.Now().Add(bodyPause)) // not every reader can; those have no peer to wait for
	return p.r.HTTP.Body.Read(b)
}

// bodyPause is how long a body that is read in pieces may stay away.
const bodyPause = 30 * time.Second

// pullImage answers with a line for each piece of news, the last one with the image.
func (a *API) pullImage(r *Request) (any, error) {
	images, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	return Streamed{ContentType: "application/json", Write: func(w io.Writer) error {
		told, lines := false, json.NewEncoder(w)
		img, err := images.Pull(r.Context(), r.Param("image"), func(p *nomadish.ImageProgress) {
			told = true
			_ = lines.Encode(p) // who has gone ends the request
		})
		switch {
		case err == nil:
			return lines.Encode(&nomadish.ImageProgress{Image: img})
		case told: // the status is sent
			return lines.Encode(&nomadish.ImageProgress{Error: err.Error()})
		}
		return err
	}}, nil
}

// exportImage answers with an archive. It needs the right to write: an image may hold what
// its registry gives only to some.
func (a *API) exportImage(r *Request) (any, error) {
	images, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	return Streamed{ContentType: "application/x-tar", Write: func(w io.Writer) error {
		buffered := bufio.NewWriterSize(w, exportBuffer)
		if err := images.Export(r.Context(), r.Param("image"), buffered); err != nil {
			return err
		}
		return buffered.Flush()
	}}, nil
}

// exportBuffer is how much of an archive is sent at once.
const exportBuffer = 256 << 10

func (a *API) removeImage(r *Request) (any, error) {
	images, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	force, err := r.Bool("force")
	if err != nil {
		return nil, err
	}
	return nil, images.Remove(r.Context(), r.Param("image"), force)
}
