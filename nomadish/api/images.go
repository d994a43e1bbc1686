package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/nomadish/nomadish/nomadish"
)

// Images are the routes of what images nodes keep for their tasks. Names are as in job
// files; an empty node is that of the agent that is asked.
type Images struct{ c *Client }

// Images returns the routes of what images nodes keep for their tasks.
func (c *Client) Images() Images { return Images{c} }

func (i Images) path(name, rest string) string { return "/v1/client/image/" + id(name) + rest }

// onNode says which node has to answer.
func onNode(nodeID string) url.Values {
	v := url.Values{}
	if nodeID != "" {
		v.Set("node_id", nodeID)
	}
	return v
}

// List lists the images of a node by name.
func (i Images) List(ctx context.Context, nodeID string) ([]*nomadish.NodeImage, error) {
	var out []*nomadish.NodeImage
	_, err := i.c.do(ctx, call{method: http.MethodGet, path: "/v1/client/images", params: onNode(nodeID), out: &out})
	return out, err
}

// Load sends a node an OCI or docker archive, packed or not. The images in it stay until
// they are removed. The name is for an archive with one image, in place of its own.
func (i Images) Load(ctx context.Context, nodeID, name string, archive io.Reader) ([]*nomadish.NodeImage, error) {
	params := onNode(nodeID)
	if name != "" {
		params.Set("name", name)
	}
	var out []*nomadish.NodeImage
	_, err := i.c.do(ctx, call{method: http.MethodPut, path: "/v1/client/images", params: params, in: archive, out: &out})
	return out, err
}

// Pull has a node get an image from its registry. The image stays until it is removed.
// Notify hears how it goes on; it may be nil.
func (i Images) Pull(ctx context.Context, nodeID, name string, notify func(*nomadish.ImageProgress)) (*nomadish.NodeImage, error) {
	resp, err := i.c.send(ctx, call{method: http.MethodPut, path: i.path(name, "/pull"), params: onNode(nodeID)})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		p := &nomadish.ImageProgress{}
		switch err := lines.Decode(p); {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("pull %s: the answer ended early", name)
		case err != nil:
			return nil, fmt.Errorf("pull %s: read the answer: %w", name, err)
		case p.Error != "":
			return nil, &Error{StatusCode: http.StatusInternalServerError, Body: p.Error}
		case p.Image != nil:
			return p.Image, nil
		case notify != nil:
			notify(p)
		}
	}
}

// Export returns an image of a node as an archive. The caller closes it.
func (i Images) Export(ctx context.Context, nodeID, name string) (io.ReadCloser, error) {
	resp, err := i.c.send(ctx, call{method: http.MethodGet, path: i.path(name, "/export"), params: onNode(nodeID)})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Remove removes an image from a node, one that containers were made from only by force.
func (i Images) Remove(ctx context.Context, nodeID, name string, force bool) error {
	params := onNode(nodeID)
	if force {
		params.Set("force", "true")
	}
	_, err := i.c.do(ctx, call{method: http.MethodDelete, path: i.path(name, ""), params: params})
	return err
}
