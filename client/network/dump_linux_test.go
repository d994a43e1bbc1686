package network

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
)

// A list that changed while the kernel wrote it is asked for again, not for ever; any other
// error is told at once.
func TestDump(t *testing.T) {
	other := errors.New("other")
	for _, tt := range []struct {
		name   string
		errs   []error // of the answers, the last of all that follow
		want   error
		asking int
	}{
		{"at once", []error{nil}, nil, 1},
		{"interrupted", []error{netlink.ErrDumpInterrupted, netlink.ErrDumpInterrupted, nil}, nil, 3},
		{"always", []error{netlink.ErrDumpInterrupted}, netlink.ErrDumpInterrupted, maxDumps},
		{"other", []error{other}, other, 1},
	} {
		asked := 0
		list, err := dump(func() ([]int, error) {
			asked++
			return []int{asked}, tt.errs[min(asked, len(tt.errs))-1]
		})
		if !errors.Is(err, tt.want) || asked != tt.asking || list[0] != asked {
			t.Errorf("%s: %v, %v after %d times; want error %v after %d", tt.name, list, err, asked, tt.want, tt.asking)
		}
	}
}
