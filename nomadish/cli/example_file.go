package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// example is an example of a file that people write, in both languages.
type example struct {
	noun      string // what it is of
	name      string // of the file, without its ending
	hcl, json string // what is in it
}

// write is the run of a command that writes the example where its argument says, which has a
// flag for JSON.
func (e example) write(c *call) error {
	asJSON := c.flags.Bool("json", false, "write JSON")
	if err := c.parse(0, 1); err != nil {
		return err
	}
	name, text := e.name+".hcl", e.hcl
	if *asJSON {
		name, text = e.name+".json", e.json
	}
	if len(c.args) == 1 {
		name = c.args[0]
	}
	if err := writeNew(name, text, 0o644); err != nil {
		return err
	}
	return c.print("An example of a %s is in %s.\n", e.noun, name)
}

// writeNew writes a file, and leaves one alone that is there already.
func writeNew(name, text string, mode fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
