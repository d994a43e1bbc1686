package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// still is a shelf that notes nothing of what it is asked.
type still struct{ *shelf }

func (s still) Authenticate(context.Context, nomadish.Credentials) (nomadish.Caller, error) {
	return nomadish.Caller{Kind: nomadish.CallerServer}, nil
}

func (s still) Set(_ context.Context, v *nomadish.Variable, _ *uint64) (*nomadish.Variable, uint64, error) {
	return s.answer(v)
}

// BenchmarkPutVariable writes a variable of 200 bytes over a connection that lasts: what a
// request costs besides what is done for it.
func BenchmarkPutVariable(b *testing.B) {
	s := &shelf{cluster: newCluster()}
	quiet := still{s}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: s.api(b, func(cfg *Config, back *Backends) {
		cfg.Rates.PerAddress = -1
		back.Server.Variables, back.Authority = quiet, quiet
	})} //nolint:gosec // of a benchmark
	defer server.Close()      //nolint:errcheck // its connections end with it
	go server.Serve(listener) //nolint:errcheck // ends with Close
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	body := fmt.Sprintf(`{"Path":"bench/1/2","Items":{"value":%q}}`, strings.Repeat("v", 200))
	request := []byte("PUT /v1/var/bench/1/2 HTTP/1.1\r\nHost: here\r\nUser-Agent: bench\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body)
	answers := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		length := 0
		for line := []byte(nil); len(line) != 2; {
			if line, err = answers.ReadSlice('\n'); err != nil {
				b.Fatal(err)
			}
			if size, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
				if _, err := fmt.Sscan(size, &length); err != nil {
					b.Fatal(err)
				}
			}
		}
		if n, err := io.CopyN(io.Discard, answers, int64(length)); err != nil || n == 0 {
			b.Fatal(n, err)
		}
	}
}
