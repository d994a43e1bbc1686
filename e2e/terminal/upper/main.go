// Command upper listens on the addresses that are its arguments. It reads what a connection
// says to its end, and then says it in capitals.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

func main() {
	failed := make(chan error)
	for _, addr := range os.Args[1:] {
		l, err := net.Listen("tcp", addr) //nolint:noctx // it returns at once
		if err != nil {
			log.Fatal(err)
		}
		go func() { failed <- serve(l) }()
	}
	fmt.Println("started")
	log.Fatal(<-failed)
}

func serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			said, err := io.ReadAll(conn)
			if err == nil {
				_, err = conn.Write(bytes.ToUpper(said))
			}
			if err != nil {
				log.Print(err)
			}
		}()
	}
}
