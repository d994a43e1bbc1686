package output_test

import (
	"fmt"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
)

func BenchmarkPipe(b *testing.B) {
	for _, size := range []int{100, 8 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			var set output.Set
			p, err := set.Pipe(drivers.Output{Root: b.TempDir(), Path: "stdout", MaxFiles: 3, MaxFileSize: 10 << 20})
			if err != nil {
				b.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- p.Run(b.Context()) }()
			piece := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Writer.Write(piece); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Writer.Close(); err != nil {
				b.Fatal(err)
			}
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}
