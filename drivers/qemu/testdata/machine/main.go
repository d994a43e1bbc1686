// Command machine stands in for an emulator in the driver's tests: the disk image's text, or an
// option of its own, says what the machine does; its monitor knows the power button.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	args := os.Args[1:]
	if slices.Contains(args, "--version") {
		fmt.Println("QEMU emulator version 9.8.7 (stand-in)")
		return
	}
	if path, ok := strings.CutPrefix(value(args, "-monitor"), "unix:"); ok {
		path, _, _ = strings.Cut(path, ",")
		l, err := net.Listen("unix", path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(70)
		}
		go monitor(l)
	}
	file := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(value(args, "-drive"), "file="), ",if=ide"), ",,", ",")
	image, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(71)
	}
	if program := value(args, "-program"); program != "" {
		image = []byte(program)
	}
	run(strings.Split(string(image), "|"), args, file)
}

func value(args []string, option string) string {
	if i := slices.Index(args, option); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

func run(words, args []string, file string) {
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "exit":
			n, _ := strconv.Atoi(words[i+1])
			os.Exit(n)
		case "print":
			i++
			fmt.Print(words[i])
		case "args":
			fmt.Print(strings.Join(args, " "))
		case "status":
			b, _ := os.ReadFile("/proc/self/status")
			for line := range strings.Lines(string(b)) {
				if strings.HasPrefix(line, words[i+1]+":") {
					fmt.Print(strings.Join(strings.Fields(line), " "))
				}
			}
			i++
		case "cat":
			i++
			b, err := os.ReadFile(words[i])
			fmt.Print(string(b), err)
		case "overwrite": // itself, as a machine does with its disk
			i++
			fmt.Print(os.WriteFile(file, []byte(words[i]), 0o644))
		case "sleep":
			time.Sleep(time.Hour)
		}
	}
}

// monitor answers one who asks for the power button to be pressed by ending the machine.
func monitor(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, "QEMU 9.8.7 monitor - type 'help' for more information\r\n(qemu) ")
		if line, _ := bufio.NewReader(conn).ReadString('\n'); strings.TrimSpace(line) == "system_powerdown" {
			fmt.Println("powered down")
			os.Exit(0)
		}
		conn.Close()
	}
}
