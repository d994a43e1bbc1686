package state

// aclBootstrap says that the first management token was made.
type aclBootstrap struct {
	Index uint64 // of the command that made it
}

var aclBootstrapKey = []byte{0}

var aclBootstraps = newTable[aclBootstrap](26, TableACLBootstrap, func(*aclBootstrap) ([]byte, error) { return aclBootstrapKey, nil })

// ACLBootstrapIndex is the index of the command that made the first management token; 0:
// there was none yet.
func (r Reader) ACLBootstrapIndex() uint64 {
	if b, ok := first(r, nil, aclBootstraps, aclBootstrapKey); ok {
		return b.Index
	}
	return 0
}

// PutACLBootstrap says that this command makes the first management token.
func (w *Writer) PutACLBootstrap() error {
	return put(w.txn, aclBootstraps, &aclBootstrap{Index: w.Index()})
}
