// Command peer is a task that others talk to: it listens on the address of its first
// argument, answers / with its second, and /ask?addr=HOST:PORT with what the peer there
// answers.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

// maxAnswer bounds what is passed on of a peer's answer.
const maxAnswer = 1 << 10

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: peer ADDRESS NAME")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, os.Args[2]) // who has gone needs no answer
	})
	mux.HandleFunc("GET /ask", func(w http.ResponseWriter, r *http.Request) {
		answer, err := ask(r.Context(), r.FormValue("addr"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = w.Write(answer)
	})
	server := &http.Server{Addr: os.Args[1], Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func ask(ctx context.Context, addr string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}
