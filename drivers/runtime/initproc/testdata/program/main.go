// Command program is a first process of containers and, by its own name, a task.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/nomadish/nomadish/drivers/runtime/initproc"
)

func main() {
	switch os.Args[1] {
	case "trap":
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGUSR1)
		fmt.Println("ready", os.Getpid(), os.Getppid())
		<-got
		os.Exit(41)
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	case "orphan": // leaves a child behind that ends by itself, and says when it is reaped
		cmd := exec.Command("/proc/self/exe", "parent")
		out, err := cmd.Output()
		if err != nil {
			fmt.Println(err)
		}
		var pid int
		_, _ = fmt.Sscan(string(out), &pid)
		for syscall.Kill(pid, 0) == nil {
			time.Sleep(time.Millisecond)
		}
		fmt.Println("reaped")
	case "parent":
		cmd := exec.Command("/proc/self/exe", "child")
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
		}
		fmt.Println(cmd.Process.Pid)
	case "child":
		time.Sleep(20 * time.Millisecond)
	}
}
