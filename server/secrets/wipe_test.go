package secrets

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// A root key that leaves the keyring is wiped, as far as its memory is ours.
func TestKeysAreWiped(t *testing.T) {
	row, secret, err := newRootKey(nomadish.AlgorithmEdDSA, 1)
	if err != nil {
		t.Fatal(err)
	}
	key, err := open(row, secret)
	if err != nil {
		t.Fatal(err)
	}
	private := key.signer.(ed25519.PrivateKey)
	if bytes.Equal(key.mac, make([]byte, len(key.mac))) {
		t.Fatal("the key is zero from the beginning")
	}
	key.wipe()
	if !bytes.Equal(key.mac, make([]byte, len(key.mac))) || !bytes.Equal(private, make([]byte, len(private))) {
		t.Error("the key is still in memory")
	}
}

// A root key is bound to its row: neither its secret nor its signing key opens as another's.
func TestRootKeyIsBoundToItsRow(t *testing.T) {
	row, secret, err := newRootKey(nomadish.AlgorithmEdDSA, 1)
	if err != nil {
		t.Fatal(err)
	}
	other, otherSecret, err := newRootKey(nomadish.AlgorithmEdDSA, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(k *nomadish.RootKey){
		"another ID":           func(k *nomadish.RootKey) { k.KeyID = other.KeyID },
		"another public half":  func(k *nomadish.RootKey) { k.Signer.Public = other.Signer.Public },
		"another private half": func(k *nomadish.RootKey) { k.Signer.Private = other.Signer.Private },
		"another algorithm":    func(k *nomadish.RootKey) { k.Signer.Algorithm = nomadish.AlgorithmRS256 },
	} {
		moved := *row
		change(&moved)
		if _, err := open(&moved, secret); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	if _, err := open(row, otherSecret); err == nil {
		t.Error("it opens with another's secret")
	}
	if _, err := open(row, secret[:16]); err == nil {
		t.Error("it opens with half of its secret")
	}
}
