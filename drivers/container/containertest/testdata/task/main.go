// Command task is what the driver's tests run in containers. It does what its arguments say,
// one after the other.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	for args := os.Args[1:]; len(args) > 0; {
		args = args[run(args):]
	}
}

// run does one thing and returns how many arguments it took.
func run(args []string) int {
	switch args[0] {
	case "exit":
		n, _ := strconv.Atoi(args[1])
		os.Exit(n)
	case "print":
		fmt.Print(args[1])
	case "eprint":
		fmt.Fprint(os.Stderr, args[1])
	case "env":
		fmt.Println(args[1] + "=" + os.Getenv(args[1]))
	case "cat":
		b, err := os.ReadFile(args[1])
		fmt.Print(strings.ReplaceAll(string(b), "\x00", " "), say(err))
	case "first": // whether it is the first process
		fmt.Println(os.Getpid() == 1)
		return 1
	case "stat": // mode and owner
		info, err := os.Stat(args[1])
		if err != nil {
			fmt.Print(say(err))
			break
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Printf("%o %d:%d\n", st.Mode&0o7777, st.Uid, st.Gid)
	case "list": // names in a directory
		entries, err := os.ReadDir(args[1])
		for _, e := range entries {
			fmt.Print(e.Name(), " ")
		}
		fmt.Print(say(err))
	case "open": // whether it can be
		f, err := os.Open(args[1])
		if err == nil {
			fmt.Println("open")
			_ = f.Close()
		}
		fmt.Print(say(err))
	case "mkdir":
		fmt.Print(say(os.Mkdir(args[1], 0o755)))
	case "link": // where a link leads
		to, err := os.Readlink(args[1])
		fmt.Print(to, "\n", say(err))
	case "status": // a line of /proc/self/status
		b, _ := os.ReadFile("/proc/self/status")
		for line := range bytes.Lines(b) {
			if bytes.HasPrefix(line, []byte(args[1]+":")) {
				fmt.Print(strings.Join(strings.Fields(string(line)), " "), "\n")
			}
		}
	case "write":
		err := os.WriteFile(args[1], []byte(args[2]), 0o644)
		fmt.Print(say(err))
		return 3
	case "stdin":
		b, _ := io.ReadAll(os.Stdin)
		fmt.Print(string(b))
		return 1
	case "sleep":
		time.Sleep(time.Hour)
	case "trap": // ends with a code at a signal
		n, _ := strconv.Atoi(args[1])
		code, _ := strconv.Atoi(args[2])
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.Signal(n))
		fmt.Println("ready")
		<-got
		os.Exit(code)
	case "deaf": // ignores what can be ignored
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "children":
		n, _ := strconv.Atoi(args[1])
		for range n {
			if err := exec.Command("/proc/self/exe", "sleep").Start(); err != nil {
				fmt.Println(err)
			}
		}
		fmt.Println("ready")
	case "eat": // memory, until the end
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			_ = all
		}
	case "after": // waits a time
		d, _ := time.ParseDuration(args[1])
		time.Sleep(d)
	case "spin":
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		}
		fmt.Println("ready")
		return 1
	case "lines":
		n, _ := strconv.Atoi(args[1])
		for i := range n {
			fmt.Println("line", i)
		}
	case "limit":
		var l syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
		if args[1] == "nofile" {
			fmt.Println(l.Cur, l.Max)
		}
	case "size": // of the terminal on standard input, once it is this many columns wide
		fmt.Println(terminal(args[1]))
	default:
		fmt.Fprintln(os.Stderr, "unknown:", args[0])
		os.Exit(2)
	}
	return 2
}

func say(err error) string {
	if err == nil {
		return ""
	}
	return err.Error() + "\n"
}
