//go:build linux

package network_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/drivers"
)

// A namespace whose port 80 is the host's port 8080.
func Example() {
	ctx := context.Background()
	m, err := network.New(network.Config{DataDir: "/var/lib/nomadish"})
	if err != nil {
		log.Fatal(err) // is network.ErrUnsupported without root
	}
	go func() { _ = m.Run(ctx) }() // until ctx ends; what is there stays
	status, err := m.Setup(ctx, network.Request{
		ID: "7b1f…", Mode: network.ModeBridge, Ports: []drivers.Port{{Label: "http", Host: 8080, To: 80}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Network.Namespace, status.Address)
	if err := m.Release(ctx, "7b1f…"); err != nil {
		log.Fatal(err)
	}
}
