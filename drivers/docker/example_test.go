//go:build linux

package docker_test

import (
	"context"
	"fmt"
	"os"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/drivers/runtime"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
)

// A program that links the runtime hands its arguments to it first; then it can run
// containers by itself.
func Example() {
	if handled, code := runtime.Dispatch(os.Args); handled {
		os.Exit(code)
	}
	e, err := engine.New(engine.Config{DataDir: "/var/lib/nomadish"})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := container.New(container.Config{Seccomp: runtime.Seccomp()}, e)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := images.New(images.Config{}, r)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := docker.New(docker.Config{}, r, store)
	ctx := context.Background()
	h, err := d.Start(ctx, &drivers.TaskSpec{
		ID:     "alloc/web/0",
		Config: map[string]any{"image": "busybox:1.37", "command": "echo", "args": []any{"hello"}},
		Stdout: drivers.Output{Root: "/tmp", Path: "hello"}, // /tmp/hello.0
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	exit, err := d.Wait(ctx, h)
	fmt.Println(exit.Code, err)
}
