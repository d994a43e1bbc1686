package nomadish

// SearchRequest asks for the things whose ID or name begins with Prefix.
type SearchRequest struct {
	Prefix  string
	Context string // what to look for, such as jobs; "all": everything
	WriteRequest
}

// SearchResponse holds what was found by what it is, at most 20 of each, and says of which
// there is more.
type SearchResponse struct {
	Matches     map[string][]string
	Truncations map[string]bool
	QueryMeta
}

// FuzzySearchRequest asks for the things whose name holds Text, or whose ID begins with it.
type FuzzySearchRequest struct {
	Text    string
	Context string // what to look for, such as jobs; "all": everything
	WriteRequest
}

// FuzzySearchResponse is what a SearchResponse is, the best match first.
type FuzzySearchResponse struct {
	Matches     map[string][]FuzzyMatch
	Truncations map[string]bool
	QueryMeta
}

// FuzzyMatch is a name that was found, and where it belongs: namespace, job, group and task,
// as far down as there are.
type FuzzyMatch struct {
	ID    string
	Scope []string `json:",omitempty"`
}
