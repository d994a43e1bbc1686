package jobspec

import "github.com/hashicorp/hcl/v2"

// Scan returns how many tokens and what nesting the scanner sees in a text.
func Scan(text []byte) (tokens, depth int) {
	s := &scanner{text: text, start: hcl.InitialPos, frames: []frame{{kind: inFile}}}
	for s.pos < len(s.text) {
		s.step()
		depth = max(depth, s.depth)
	}
	return s.tokens, depth
}
