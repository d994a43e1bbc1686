package alloc

import (
	"fmt"
	"os"
	"strings"
)

// nothingMounted makes sure that no file system is mounted below a directory: removing the
// directory would empty it, whoever's it is.
func nothingMounted(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	prefix := escaped.Replace(dir) + "/"
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4]+"/", prefix) {
			return fmt.Errorf("remove %s: %s is still mounted", dir, f[4])
		}
	}
	return nil
}

// escaped writes a path as the kernel writes it in the table of mounts.
var escaped = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
