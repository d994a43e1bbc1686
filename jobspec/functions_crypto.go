package jobspec

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/crypto/bcrypt"
)

func cryptoFunctions() map[string]entry {
	return map[string]entry{
		"md5":        {function: mapText(func(s string) (string, error) { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]), nil })},
		"sha1":       {function: mapText(func(s string) (string, error) { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]), nil })},
		"sha256":     {function: mapText(func(s string) (string, error) { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]), nil })},
		"sha512":     {function: mapText(func(s string) (string, error) { h := sha512.Sum512([]byte(s)); return hex.EncodeToString(h[:]), nil })},
		"bcrypt":     {function: bcryptFunction, price: bcryptPrice},
		"rsadecrypt": {function: rsaDecryptFunction, price: func([]cty.Value) (int, int, error) { return 1 << 12, 0, nil }},
		"uuidv4":     {function: uuidFunction},
		"uuidv5":     {function: uuidFromNameFunction},
	}
}

var bcryptFunction = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "str", Type: cty.String}},
	VarParam: &function.Parameter{Name: "cost", Type: cty.Number},
	Type:     function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		cost, err := bcryptCost(args)
		if err != nil {
			return cty.NilVal, err
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(args[0].AsString()), cost)
		if err != nil {
			return cty.NilVal, fmt.Errorf("hash: %w", err)
		}
		return cty.StringVal(string(hash)), nil
	},
})

func bcryptCost(args []cty.Value) (int, error) {
	switch len(args) {
	case 1:
		return bcrypt.DefaultCost, nil
	case 2:
		cost, _ := args[1].AsBigFloat().Int64()
		if cost < int64(bcrypt.MinCost) || cost > int64(bcrypt.MaxCost) {
			return 0, function.NewArgErrorf(1, "the cost must be from %d to %d", bcrypt.MinCost, bcrypt.MaxCost)
		}
		return int(cost), nil
	}
	return 0, errors.New("bcrypt() takes no more than two arguments")
}

// bcryptPrice charges for the work that bcrypt is meant to be.
func bcryptPrice(args []cty.Value) (int, int, error) {
	cost, err := bcryptCost(args)
	if err != nil {
		return 0, 0, err
	}
	return 32 << cost, 0, nil
}

var rsaDecryptFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "ciphertext", Type: cty.String}, {Name: "privatekey", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		secret, err := base64.StdEncoding.DecodeString(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(0, "no base64: %w", err)
		}
		key, err := rsaKey(args[1].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		text, err := rsa.DecryptPKCS1v15(nil, key, secret) //nolint:staticcheck // what the function is documented to do
		if err != nil {
			return cty.NilVal, fmt.Errorf("decrypt: %w", err)
		}
		return cty.StringVal(string(text)), nil
	},
})

func rsaKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	if block.Type == "RSA PRIVATE KEY" {
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errors.New("no RSA key")
}

var uuidFunction = function.New(&function.Spec{
	Type: function.StaticReturnType(cty.String),
	Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
		var id [16]byte
		rand.Read(id[:])
		return cty.StringVal(uuidText(id, 4)), nil
	},
})

// uuidNamespaces are those of RFC 9562, by the names that may stand for them.
var uuidNamespaces = map[string]string{
	"dns":  "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
	"url":  "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
	"oid":  "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
	"x500": "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
}

var uuidFromNameFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "namespace", Type: cty.String}, {Name: "name", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		space := args[0].AsString()
		if known, ok := uuidNamespaces[space]; ok {
			space = known
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(space, "-", ""))
		if err != nil || len(raw) != 16 {
			return cty.NilVal, function.NewArgErrorf(0, "%q is no UUID and none of dns, url, oid and x500", args[0].AsString())
		}
		sum := sha1.Sum(append(raw, args[1].AsString()...))
		return cty.StringVal(uuidText([16]byte(sum[:16]), 5)), nil
	},
})

// uuidText writes a UUID after setting its version and variant.
func uuidText(id [16]byte, version byte) string {
	id[6] = id[6]&0x0f | version<<4
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
