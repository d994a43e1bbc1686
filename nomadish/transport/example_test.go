package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/nomadish/nomadish/nomadish/transport"
)

// A server's handler is called without any connection.
func ExampleInProcess() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "hello") })
	client := &http.Client{Transport: transport.InProcess(handler, transport.Peer{})}
	resp, err := client.Get("http://agent/")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: hello <nil>
}

// A node dials a server; from then on the server can ask the node, too.
func ExampleHub() {
	serve := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s was asked by %s", name, transport.OriginFrom(r.Context()).ID)
		})
	}
	server, err := transport.NewHub(transport.HubConfig{
		Self:   transport.Hello{Kind: "server", ID: "s1"},
		Listen: "127.0.0.1:0",
	}, serve("server"))
	if err != nil {
		panic(err)
	}
	node, err := transport.NewHub(transport.HubConfig{Self: transport.Hello{Kind: "node", ID: "n1"}}, serve("node"))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- server.Run(ctx) }()
	go func() { ended <- node.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			fmt.Println(err)
		}
	}()

	print := func(rt http.RoundTripper) {
		resp, err := (&http.Client{Transport: rt}).Get("http://peer/")
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		fmt.Println(string(body), err)
	}
	print(node.Dial(server.Addr().String()))
	back, err := server.Node("n1")
	if err != nil {
		panic(err)
	}
	print(back)
	// Output:
	// server was asked by n1 <nil>
	// node was asked by s1 <nil>
}
