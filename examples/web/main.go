// Command web is the web server of the examples: one static file, no options.
//
// It listens on the port of the label "http" (NOMAD_PORT_http, else 8080), answers / with a
// page that says where it runs, and /health with "ok". SIGTERM ends it when the requests
// under way are answered.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	addr := net.JoinHostPort("", cmp.Or(os.Getenv("NOMAD_PORT_http"), "8080"))
	server := &http.Server{Addr: addr, Handler: handler(), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	log.Printf("listening on %s", addr)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	log.Print("stopping")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok") // a client that has gone needs no answer
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		log.Printf("%s %s from %s", r.Method, r.URL.Path, r.RemoteAddr)
		_, _ = fmt.Fprintf(w, "%s from %s, allocation %s\n",
			cmp.Or(os.Getenv("GREETING"), "Hello"),
			cmp.Or(os.Getenv("NOMAD_JOB_NAME"), "nobody's job"),
			cmp.Or(os.Getenv("NOMAD_ALLOC_ID"), "none"))
	})
	return mux
}
