package transport

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func setUserTimeout(fd uintptr, d time.Duration) error {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}

func silenceOf(c syscall.RawConn) (d time.Duration, ok bool) {
	err := c.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		// What comes in counts as an answer as much as what acknowledges.
		d, ok = time.Duration(min(info.Last_ack_recv, info.Last_data_recv))*time.Millisecond, true
	})
	return d, ok && err == nil
}
