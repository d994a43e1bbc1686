package main

import (
	"fmt"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

func terminal(columns string) string {
	want, _ := strconv.Atoi(columns)
	for {
		var size [4]uint16
		_, _, e := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
		if e != 0 {
			return e.Error()
		}
		if int(size[1]) == want {
			return fmt.Sprintf("%d %d", size[0], size[1])
		}
		time.Sleep(5 * time.Millisecond)
	}
}
