//go:build linux

package images_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
)

// A driver gets a task's image, with news of the download, and lets it go when the container
// that is made from it is there.
func Example() {
	e, err := engine.New(engine.Config{DataDir: "/var/lib/nomadish"})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := container.New(container.Config{}, e)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := images.New(images.Config{Delay: 10 * time.Minute}, r)
	if err != nil {
		fmt.Println(err)
		return
	}
	ref, err := images.ParseName("redis:7")
	if err != nil {
		fmt.Println(err)
		return
	}
	img, release, err := store.Get(context.Background(), images.Request{
		Ref:    ref,
		Notify: func(n drivers.Notice) { fmt.Println(n.Message, n.Done, "of", n.Total) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer release()
	fmt.Println(img.Name(), img.Target().Digest)
}
