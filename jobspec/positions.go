package jobspec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Positions tells where in the file the parts of a job stand. A part is named
// by its path below the job: block types and labels joined by dots, and the
// name of an argument last, such as "group.web.task.api.driver" or
// "group.web.update.canary". The second and further blocks of a type without
// labels have their number: "group.web.service", "group.web.service[1].port".
type Positions map[string]hcl.Range

// Find returns the place of a part, or that of the nearest part around it.
// It is false only for a job that does not come from a file.
func (p Positions) Find(path string) (hcl.Range, bool) {
	for {
		if r, ok := p[path]; ok {
			return r, true
		}
		if path == "" {
			return hcl.Range{}, false
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
}
