//go:build linux && corpus

package corpus

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// origins stands for all web servers of the world: it serves the artifacts of the jobs, each
// an archive of the programs that its task may run. It returns the environment that leads
// an agent there.
func origins(t *testing.T, program string, jobs []*nomadish.Job) []string {
	t.Helper()
	var hosts, programs []string
	for _, job := range jobs {
		for _, task := range job.AllTasks() {
			for _, a := range task.Artifacts {
				if u, err := url.Parse(nomadish.Val(a.GetterSource)); err == nil && u.Scheme == "https" {
					hosts = append(hosts, u.Hostname())
				}
				if command, ok := task.Config["command"].(string); ok {
					programs = append(programs, path.Base(command))
				}
			}
		}
	}
	packed := tarball(t, program, programs)
	cert, ca := certificate(t, hosts)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.NotFound(w, r)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err == nil {
			serveOne(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}), packed)
		}
	}))
	t.Cleanup(server.Close)
	return []string{"HTTPS_PROXY=" + server.URL, "HTTP_PROXY=" + server.URL, "SSL_CERT_FILE=" + ca}
}

// serveOne answers one request. Who has gone needs no answer.
func serveOne(conn net.Conn, packed []byte) {
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	resp := &http.Response{StatusCode: http.StatusNotFound, ProtoMajor: 1, ProtoMinor: 1, Request: req, Close: true, Body: http.NoBody}
	if strings.HasSuffix(req.URL.Path, ".tar.gz") {
		resp.StatusCode, resp.ContentLength, resp.Body = http.StatusOK, int64(len(packed)), io.NopCloser(bytes.NewReader(packed))
	}
	_ = resp.Write(conn)
}

// tarball packs a program under several names.
func tarball(t *testing.T, program string, names []string) []byte {
	t.Helper()
	text, err := os.ReadFile(program)
	must(t, err)
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for name := range set(names) {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(text))}))
		_, err := w.Write(text)
		must(t, err)
	}
	must(t, w.Close())
	must(t, z.Close())
	return out.Bytes()
}

// certificate makes one for hosts, and a file with it for those who shall trust it.
func certificate(t *testing.T, hosts []string) (cert tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	file = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// programs returns the environment in which an agent finds the programs that drivers need of
// the machine: its own, or a stand-in for java where there is none.
func programs(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("java"); err == nil {
		return nil
	}
	dir := t.TempDir()
	const java = "#!/bin/sh\necho 'openjdk version \"21.0.1\" 2023-10-17' >&2\necho 'OpenJDK Runtime Environment (build 21.0.1)' >&2\necho 'OpenJDK 64-Bit Server VM (build 21.0.1)' >&2\n"
	must(t, os.WriteFile(filepath.Join(dir, "java"), []byte(java), 0o755))
	return []string{"PATH=" + os.Getenv("PATH") + ":" + dir}
}
