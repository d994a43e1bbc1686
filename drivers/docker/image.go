//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"github.com/nomadish/nomadish/drivers"
)

// image returns the task's image, unpacked and ready to be mounted. It takes it from the
// archive where the task names one, else from what is here, else from the registry.
func (d *Driver) image(ctx context.Context, c *client.Client, spec *drivers.TaskSpec, s *settings) (client.Image, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.pullTimeout,
		fmt.Errorf("image_pull_timeout: no image after %s", s.pullTimeout))
	defer cancel()
	unlock, err := d.images.Take(ctx, s.image+"\x00"+s.load)
	if err != nil {
		return nil, drivers.Recoverable(context.Cause(ctx))
	}
	defer unlock()
	snapshotter, err := d.Snapshotter(ctx, c)
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	var img client.Image
	switch {
	case s.load != "":
		img, err = d.load(ctx, c, spec, s)
	case s.always:
		img, err = d.pull(ctx, c, snapshotter, s)
	default:
		img, err = c.GetImage(ctx, s.image)
		if errdefs.IsNotFound(err) {
			img, err = d.pull(ctx, c, snapshotter, s)
		}
	}
	if err == nil {
		err = unpack(ctx, img, snapshotter)
	}
	if err != nil {
		return nil, imageError(ctx, s.image, err)
	}
	return img, nil
}

func unpack(ctx context.Context, img client.Image, snapshotter string) error {
	done, err := img.IsUnpacked(ctx, snapshotter)
	if err != nil || done {
		return err
	}
	return img.Unpack(ctx, snapshotter)
}

// imageError says in a user's words why there is no image, and whether trying again helps.
func imageError(ctx context.Context, image string, err error) error {
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case ctx.Err() != nil:
		return drivers.Recoverable(fmt.Errorf("image %s: %w", image, errors.Join(context.Cause(ctx), err)))
	case errors.Is(err, errArchive):
		return err
	case errdefs.IsNotFound(err):
		return fmt.Errorf("image %s: not found: %w", image, err)
	case errors.Is(err, docker.ErrInvalidAuthorization), errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err),
		errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return fmt.Errorf("image %s: the registry denies access: %w", image, err)
	}
	return drivers.Recoverable(fmt.Errorf("image %s: %w", image, err))
}

// pull gets an image from its registry.
func (d *Driver) pull(ctx context.Context, c *client.Client, snapshotter string, s *settings) (client.Image, error) {
	return c.Pull(ctx, s.image,
		client.WithResolver(d.resolver(s)),
		client.WithPullUnpack,
		client.WithPullSnapshotter(snapshotter))
}

// resolver talks to registries: with TLS but to this host and those that the node's
// configuration names, and with the task's credentials only to the host they are for.
func (d *Driver) resolver(s *settings) remotes.Resolver {
	plain := func(host string) (bool, error) {
		if slices.Contains(d.cfg.PlainHTTP, host) {
			return true, nil
		}
		return docker.MatchLocalhost(host)
	}
	credentials := func(host string) (string, string, error) {
		if s.user == "" && s.pass == "" || !sameRegistry(host, s) {
			return "", "", nil
		}
		return s.user, s.pass, nil
	}
	return docker.NewResolver(docker.ResolverOptions{
		Headers: http.Header{"User-Agent": {"nomadish"}},
		Hosts: docker.ConfigureDefaultRegistries(
			docker.WithPlainHTTP(plain),
			docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials))),
		),
	})
}

// sameRegistry says whether a host may see the task's credentials.
func sameRegistry(host string, s *settings) bool {
	want := s.server
	if want == "" {
		want, _, _ = strings.Cut(s.image, "/")
	}
	want = strings.TrimPrefix(strings.TrimPrefix(want, "https://"), "http://")
	want, _, _ = strings.Cut(want, "/")
	hub := func(h string) bool {
		return h == "docker.io" || h == "index.docker.io" || h == "registry-1.docker.io"
	}
	if hub(want) {
		return hub(host)
	}
	if h, port, err := net.SplitHostPort(host); err == nil && port == "443" && !strings.Contains(want, ":") {
		host = h
	}
	return host == want
}
