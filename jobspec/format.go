package jobspec

import (
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns a job file or variables file in the canonical layout. A file
// with a syntax error is refused; so is JSON, which has no layout of ours.
func Format(text []byte, name string) ([]byte, error) {
	src := newSources()
	if isJSON(text) {
		return nil, &Error{Problems: []Problem{{Summary: "Not an HCL file", Detail: name + " is JSON."}}}
	}
	if _, err := src.parse(name, text); err != nil {
		return nil, err
	}
	return hclwrite.Format(text), nil
}
