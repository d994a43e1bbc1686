package secrets_test

import (
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/secrets"
)

func BenchmarkSeal(b *testing.B) {
	k := newWorld(b).ready(secrets.Config{})
	plain := make([]byte, 1024)
	b.ReportAllocs()
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := k.Seal(plain, []byte("default/web")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := newWorld(b).ready(secrets.Config{})
	sealed, err := k.Seal(make([]byte, 1024), []byte("default/web"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(1024)
	for b.Loop() {
		if _, err := k.Open(sealed, []byte("default/web")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMACs(b *testing.B) {
	k := newWorld(b).ready(secrets.Config{})
	secret := []byte(nomadish.NewID())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.MACs("token", secret); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, algorithm := range []string{nomadish.AlgorithmEdDSA, nomadish.AlgorithmRS256} {
		b.Run(algorithm, func(b *testing.B) {
			k := newWorld(b).ready(secrets.Config{Algorithm: algorithm})
			c := claims()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []string{nomadish.AlgorithmEdDSA, nomadish.AlgorithmRS256} {
		b.Run(algorithm, func(b *testing.B) {
			k := newWorld(b).ready(secrets.Config{Algorithm: algorithm})
			token, err := k.Sign(claims())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
