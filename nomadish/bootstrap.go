package nomadish

// BootstrapOffer is what a server that wants to begin a cluster asks of each other one that would be in it.
type BootstrapOffer struct {
	From    string   // ID of the server that asks
	Servers []string // IDs of the cluster's first servers, From and the asked one too
	Expect  int      // bootstrap_expect, which is to be the same everywhere
	Release bool     // the offer is withdrawn
}

// BootstrapAnswer says whether a server will be one of the first of a cluster. Until the offer is withdrawn
// or has lapsed it agrees to no other.
type BootstrapAnswer struct {
	Agreed bool
	Reason string // why not
}

// WrapKeyRequest asks another server for the key in a file that root keys are wrapped with.
type WrapKeyRequest struct {
	Wrapper string // the key's name, as root keys have it
	Public  []byte // of X25519, made for this request; the answer is sealed for it
}

// WrapKeyResponse is that key.
type WrapKeyResponse struct {
	Public []byte // of X25519, made for this answer
	Sealed []byte
}
