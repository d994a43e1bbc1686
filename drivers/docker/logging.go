//go:build linux

package docker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/drivers"
)

// readLogging takes Docker's log drivers by what users see of them: the allocation's logs.
func (s *settings) readLogging(o drivers.Options, c *Config) error {
	s.noOutput = c.DisableLogs
	for _, b := range o.Blocks("logging") {
		driver := b.String("driver")
		if driver == "" {
			driver = b.String("type")
		}
		switch driver {
		case "", "json-file", "local":
		case "none":
			s.noOutput = true
		case "journald":
			s.notices = append(s.notices, "logging: journald: output goes to the allocation's logs and not to the journal")
		default:
			return fmt.Errorf("logging: there is no log driver %q here: output is in the allocation's logs (nomadish alloc logs); have a shipper read alloc/logs of the allocation", driver)
		}
		if set := slices.Sorted(maps.Keys(b.Map("config"))); len(set) > 0 && driver != "none" {
			s.notices = append(s.notices, fmt.Sprintf("logging: %s: no effect: the task's logs block bounds its log files (max_files, max_file_size)", strings.Join(set, ", ")))
		}
	}
	return nil
}
