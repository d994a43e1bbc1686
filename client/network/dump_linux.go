package network

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// maxDumps is how often the kernel is asked for a list that changes while it is written.
const maxDumps = 20

// dump asks for a list again as long as something changed in it before it was complete, as
// happens when other tasks' links come and go.
func dump[T any](ask func() ([]T, error)) (list []T, err error) {
	for range maxDumps {
		if list, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

// linkList lists the links.
func linkList(h *netlink.Handle) ([]netlink.Link, error) { return dump(h.LinkList) }

// routeList lists the routes of both families.
func routeList(h *netlink.Handle) ([]netlink.Route, error) {
	return dump(func() ([]netlink.Route, error) { return h.RouteList(nil, netlink.FAMILY_ALL) })
}
