package certificate

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// AuthorityConfig says what an authority is to be like.
type AuthorityConfig struct {
	Subject   pkix.Name     // default: the common name "nomadish agents"
	TTL       time.Duration // default 10 years
	Permitted []string      // domains that its certificates may name; default: any
	Now       time.Time     // default: the machine's clock
}

// Authority signs certificates. Its keys are of P-256: Ed25519 would do, but browsers and many
// other programs that talk to an agent's API do not know it.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// skew is how far the clocks of machines may be apart.
const skew = time.Hour

// NewAuthority makes an authority with a new key.
func NewAuthority(cfg AuthorityConfig) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	now := cfg.Now
	if now.IsZero() {
		now = time.Now()
	}
	cfg.Subject.CommonName = cmp.Or(cfg.Subject.CommonName, "nomadish agents")
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: cfg.Subject,
		NotBefore: now.Add(-skew), NotAfter: now.Add(cmp.Or(cfg.TTL, 10*365*24*time.Hour)),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		PermittedDNSDomains: cfg.Permitted, PermittedDNSDomainsCritical: len(cfg.Permitted) > 0,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	return &Authority{Certificate: c, key: key}, err
}

// OpenAuthority returns the authority with a certificate and a key, as Key returns it.
func OpenAuthority(c *x509.Certificate, pkcs8 []byte) (*Authority, error) {
	key, err := ParseKey(pkcs8)
	if err != nil {
		return nil, err
	}
	if !c.IsCA {
		return nil, errors.New("authority: the certificate is not one of an authority")
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.PublicKey) {
		return nil, errors.New("authority: certificate and key do not belong together")
	}
	return &Authority{Certificate: c, key: key}, nil
}

// Key returns the private key as PKCS #8.
func (a *Authority) Key() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(a.key) }

// NewKey makes a private key for an agent or an authority.
func NewKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// ParseKey reads a private key in PKCS #8 or, as others write them, in SEC 1 or PKCS #1.
func ParseKey(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, fmt.Errorf("a private key of type %T can't sign", key)
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("it is no private key in PKCS #8, SEC 1 or PKCS #1")
}

// serial is a number that no other certificate has.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[0] &= 0x7f
	b[0] |= 0x40 // so that all are of one length
	return new(big.Int).SetBytes(b[:])
}

// Order says which certificate an authority is to sign.
type Order struct {
	Identity          // whose; without a role, the certificate is good for no role
	Common   string   // common name; default: the role's DNS name
	Hosts    []string // other DNS names
	IPs      []net.IP // addresses
	Key      crypto.PublicKey
	TTL      time.Duration // never beyond the authority's end; required
	Now      time.Time     // default: the machine's clock
}

// Issue signs a certificate for agents, good at both ends of a connection.
func (a *Authority) Issue(o Order) (*x509.Certificate, error) {
	if err := checkKey(o.Key); err != nil {
		return nil, err
	}
	if o.TTL <= 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "a certificate must be good for some time")
	}
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	ends := now.Add(o.TTL)
	if ends.After(a.Certificate.NotAfter) {
		ends = a.Certificate.NotAfter
	}
	if !ends.After(now) {
		return nil, nomadish.Errorf(nomadish.KindInternal, "the authority's own certificate ended at %s", a.Certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	template := &x509.Certificate{
		SerialNumber: serial(), DNSNames: o.Hosts, IPAddresses: o.IPs,
		NotBefore: now.Add(-skew), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if o.Role != "" {
		if err := o.check(); err != nil {
			return nil, err
		}
		o.Common = cmp.Or(o.Common, o.Role.Name(o.Region))
		template.DNSNames = append([]string{o.Role.Name(o.Region)}, o.Hosts...)
	}
	if o.ID != "" {
		template.URIs = []*url.URL{o.URI()}
	}
	template.Subject = pkix.Name{CommonName: cmp.Or(o.Common, first(o.Hosts))}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, o.Key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// first is the first of some names, if there is one.
func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// checkKey says why a public key is not certified.
func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P224() {
			return nil
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return nil
		}
	}
	return nomadish.Errorf(nomadish.KindInvalid, "the key is to be ECDSA of 256 bits or more, Ed25519, or RSA of 2048 to 8192 bits")
}

// Fingerprint tells certificates apart, in hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Bounds of what a request may name.
const (
	maxRequest = 16 << 10
	maxHosts   = 16
	maxHost    = 253
)

// NewRequest makes a request (CSR) for a certificate that names hosts, in DER. Who signs it
// decides about role, region and ID.
func NewRequest(key crypto.Signer, hosts []string, ips []net.IP) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: hosts, IPAddresses: ips}, key)
}

// ParseRequest reads a request: the key that it proves to have, and the hosts that it asks for.
func ParseRequest(der []byte) (Order, error) {
	fail := func(format string, args ...any) (Order, error) {
		return Order{}, nomadish.Errorf(nomadish.KindInvalid, "certificate request: "+format, args...)
	}
	if len(der) > maxRequest {
		return fail("%d bytes, at most %d are allowed", len(der), maxRequest)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return fail("%w", err)
	}
	if err := checkKey(r.PublicKey); err != nil {
		return fail("%w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return fail("%w", err)
	}
	if n := len(r.DNSNames) + len(r.IPAddresses); n > maxHosts {
		return fail("%d names and addresses, at most %d are allowed", n, maxHosts)
	}
	if len(r.URIs)+len(r.EmailAddresses) > 0 {
		return fail("it may ask for DNS names and addresses alone")
	}
	for _, host := range r.DNSNames {
		if !IsHost(host) {
			return fail("%.80q is no host's name", host)
		}
	}
	return Order{Hosts: r.DNSNames, IPs: r.IPAddresses, Key: r.PublicKey}, nil
}

// IsHost says whether a name is that of one host, and not what an agent is known by.
func IsHost(name string) bool {
	if name == "" || len(name) > maxHost || strings.HasSuffix(strings.ToLower(strings.TrimSuffix(name, ".")), domain) {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// Chain returns the certificate that somebody was given with the authority that signed it, or says
// why it is not the one that it asked for.
func Chain(der []byte, authorities [][]byte, key crypto.PublicKey, who Identity) ([]*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if public, ok := key.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.PublicKey) {
		return nil, errors.New("certificate: it is not for the key that was sent")
	}
	names, err := ParseNames(c)
	if err != nil {
		return nil, err
	}
	if err := names.Check(who); err != nil {
		return nil, err
	}
	for _, b := range authorities {
		a, err := x509.ParseCertificate(b)
		if err == nil && c.CheckSignatureFrom(a) == nil {
			return []*x509.Certificate{c, a}, nil
		}
	}
	return nil, errors.New("certificate: none of the authorities has signed it")
}
