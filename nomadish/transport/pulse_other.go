//go:build !linux

package transport

import (
	"syscall"
	"time"
)

func setUserTimeout(uintptr, time.Duration) error { return nil }

func silenceOf(syscall.RawConn) (time.Duration, bool) { return 0, false }
