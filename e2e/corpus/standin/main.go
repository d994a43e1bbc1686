// Command standin takes the place of the programs in the images of the job corpus. All of
// an image's programs are scripts of it, so that it is called as they are: sleep, touch and
// hostname do as their names say, and any other name is a server: it answers HTTP on all
// ports that the task was given (NOMAD_PORT_…) with the allocation's ID, until it is stopped.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

func main() {
	args := os.Args
	if path.Base(args[0]) == "standin" && len(args) > 1 {
		args = args[1:] // a script's interpreter
	}
	if err := run(path.Base(args[0]), args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(program string, args []string) error {
	switch program {
	case "sleep":
		return sleep(args)
	case "touch":
		for _, name := range args {
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				return err
			}
		}
		return nil
	case "hostname":
		name, err := os.Hostname()
		fmt.Println(name)
		return err
	}
	serve()
	return nil
}

func sleep(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("sleep: got %d arguments, want one", len(args))
	}
	seconds, err := strconv.ParseFloat(strings.TrimSuffix(args[0], "s"), 64)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	return nil
}

// serve never returns. A port that another task of the group has taken is that task's.
func serve() {
	for _, entry := range os.Environ() {
		label, port, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(label, "NOMAD_PORT_") {
			continue
		}
		l, err := net.Listen("tcp", ":"+port) //nolint:noctx // returns at once
		if err != nil {
			log.Print(err)
			continue
		}
		go accept(l)
	}
	for {
		time.Sleep(time.Hour)
	}
}

func accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go answer(conn)
	}
}

// answer answers one request, whatever it asks.
func answer(conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return
	}
	for r := bufio.NewScanner(conn); r.Scan() && r.Text() != ""; { // to the end of the header
	}
	body := os.Getenv("NOMAD_ALLOC_ID")
	fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
