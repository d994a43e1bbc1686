package broker_test

import (
	"context"
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/broker"
)

func Example() {
	b := broker.New(broker.Config{})
	if err := b.Enqueue(&nomadish.Evaluation{ID: "e1", Type: "service", JobID: "web", Priority: 50}); err != nil {
		fmt.Println(err)
		return
	}
	d, err := b.Dequeue(context.Background(), "service", "batch")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Eval.JobID, b.Ack(d.Eval.ID, d.Token))
	// Output: web <nil>
}
