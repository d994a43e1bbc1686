package nomadish

import "time"

// ClientIntroductionRequest asks for a token that introduces a new client node.
type ClientIntroductionRequest struct {
	TTL      time.Duration // of the token; default and bound: the servers'
	NodeName string        // that the node must have; default: any
	NodePool string        // that the node must be of; default "default"
}

// ClientIntroductionResponse holds the token.
type ClientIntroductionResponse struct{ JWT SecretText }

// IntroductionSubject is the subject of tokens that introduce nodes.
const IntroductionSubject = "node-introduction"

// How servers deal with new nodes that nobody has introduced (client_introduction.enforcement).
const (
	IntroductionNone   = "none"
	IntroductionWarn   = "warn"
	IntroductionStrict = "strict"
)
