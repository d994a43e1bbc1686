package endpoint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

func BenchmarkVariableSet(b *testing.B) {
	for _, size := range []int{100, nomadish.MaxVariableSize - 1} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s, value := newSafe(b), strings.Repeat("x", size)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.set(fmt.Sprint("v", i%1000), "k", value)
			}
		})
	}
}

func BenchmarkVariableRead(b *testing.B) {
	for _, size := range []int{100, nomadish.MaxVariableSize - 1} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s, ctx := newSafe(b), root(b)
			s.set("v", "k", strings.Repeat("x", size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.Read(ctx, nil, "default", "v"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A page of a list costs the same wherever in the list it begins.
func BenchmarkVariablePage(b *testing.B) {
	const page = 1000
	s, ctx := newSafe(b), root(b)
	for i := range 100_000 {
		s.set(fmt.Sprintf("v/%06d", i), "k", "v")
	}
	for _, from := range []int{0, 50_000, 99_000} {
		b.Run(fmt.Sprintf("from=%d", from), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rows, _, err := s.List(ctx, nil, "default", "", nomadish.VariableName{Namespace: "default", Path: fmt.Sprintf("v/%06d", from)})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for range rows {
					if n++; n == page {
						break
					}
				}
			}
		})
	}
}
