//go:build linux

package docker

import "github.com/nomadish/nomadish/drivers"

// Images are those of this node; see drivers.ImageKeeper.
func (d *Driver) Images() drivers.ImageStore { return d.images }
