package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/servertest"
)

// A server by itself, on a disk in memory, takes a job.
func Example() {
	dir, err := os.MkdirTemp("", "nomadish")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // nothing is left to do if it fails
	network := servertest.NewNetwork(rand.New(rand.NewPCG(1, 1)), 0)
	s, err := server.New(server.Config{ID: "s1", Dir: dir, FS: vfs.NewMem(), Bootstrap: []string{"s1"}}, network.Listen("s1"))
	if err != nil {
		log.Panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for !s.Consensus().IsLeader() {
		time.Sleep(time.Millisecond)
	}
	resp, _, err := s.Endpoint().RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: newJob("web", 1)})
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		log.Panic(err)
	}
	fmt.Println("evaluation is there:", resp.EvalID != "")
	// Output:
	// evaluation is there: true
}
