// Command nomadish is the runtime's sub-programs alone, for the tests of the driver.
package main

import (
	"fmt"
	"os"

	"github.com/nomadish/nomadish/drivers/runtime"
)

func main() {
	if handled, code := runtime.Dispatch(os.Args); handled {
		os.Exit(code)
	}
	if len(os.Args) == 2 && os.Args[1] == "seccomp" {
		fmt.Println(runtime.Seccomp())
		return
	}
	fmt.Fprintln(os.Stderr, "nothing to do")
	os.Exit(2)
}
