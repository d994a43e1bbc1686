package cli_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/nomadish/nomadish/nomadish/cli"
)

// A program that has the command line built in.
func Example() {
	code := cli.Run(context.Background(), cli.Program{
		Stdin:  strings.NewReader("job \"web\" {\n  type=\"batch\"\n}\n"),
		Stdout: os.Stdout,
		Stderr: os.Stderr,
	}, []string{"fmt", "-"})
	fmt.Println("exit code", code)
	// Output:
	// job "web" {
	//   type = "batch"
	// }
	// exit code 0
}
