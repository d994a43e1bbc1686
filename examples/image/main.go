// Command image packs one static program into a container image, an OCI archive, without a
// registry, a base image or a container engine:
//
//	image -name nomadish.dev/hello:1 -out hello.tar ./web
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nomadish/nomadish/examples/image/archive"
)

func main() {
	name := flag.String("name", "nomadish.dev/hello:1", "name of the image")
	out := flag.String("out", "hello.tar", "archive to write")
	flag.Parse()
	if err := run(*name, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(name, out string, programs []string) error {
	if len(programs) != 1 {
		return fmt.Errorf("want one program, got %d", len(programs))
	}
	program, err := os.ReadFile(programs[0])
	if err != nil {
		return err
	}
	path := "/" + filepath.Base(programs[0])
	img, err := archive.Build([]archive.File{{Path: path, Mode: 0o755, Content: program}}, archive.Config{
		Entrypoint: []string{path},
		User:       "65532:65532", // nobody in particular, and not root
	})
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := archive.Write(f, name, img); err != nil {
		_ = f.Close() // the first error says more
		return err
	}
	return f.Close()
}
