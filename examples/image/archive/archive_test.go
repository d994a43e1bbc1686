package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"
)

// The same files give the same bytes, and the archive is an OCI layout.
func TestArchiveIsReproducible(t *testing.T) {
	write := func() []byte {
		img, err := Build([]File{{Path: "/bin/hello", Mode: 0o755, Content: []byte("program")}}, Config{Entrypoint: []string{"/bin/hello"}})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Write(&b, "nomadish.dev/hello:1", img); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := write()
	if !bytes.Equal(first, write()) {
		t.Error("two builds differ")
	}
	found := map[string]bool{}
	for r := tar.NewReader(bytes.NewReader(first)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = true
	}
	if !found["oci-layout"] || !found["index.json"] {
		t.Errorf("the archive holds %v, want oci-layout and index.json", found)
	}
}
