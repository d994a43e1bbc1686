package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/function"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server"
)

func main() {
	greet := function.New(func(_ context.Context, t *drivers.TaskSpec) int { fmt.Println("hello from", t.Task); return 0 })
	job := nomadish.NewJob("greeting", nomadish.JobTypeBatch, &nomadish.Task{Name: "greeter", Driver: "greet"})
	cfg := agent.Config{DataDir: os.Args[1], Server: &server.Config{}, Client: &client.Config{}, Drivers: map[string]drivers.Driver{"greet": greet}}
	if err := agent.With(context.Background(), cfg, func(ctx context.Context, c *api.Client) error { return c.Jobs().Finish(ctx, job) }); err != nil {
		panic(err)
	}
}
