package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
)

func load(t *testing.T, files ...string) (*agent.File, []string, error) {
	t.Helper()
	var paths []string
	for i, text := range files {
		path := filepath.Join(t.TempDir(), string(rune('a'+i))+".hcl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return agent.Load(paths)
}

// Later files win, maps are joined, and JSON says the same as HCL.
func TestFilesAreMerged(t *testing.T) {
	file, warnings, err := load(t, `
region = "one"
client {
  enabled = true
  meta { "a.b" = "1", c = "2" }
  options = { "driver.denylist" = "qemu" }
  reserved { memory = 100 }
}
plugin "docker" {
  config {
    allow_privileged = true
    volumes { enabled = true }
  }
}`, `{"region": "two", "ports": {"http": 1234}, "client": {"meta": {"c": "3"}, "reserved": {"cpu": 50}}}`)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, warnings %v", err, warnings)
	}
	if got := nomadish.Val(file.Region); got != "two" {
		t.Errorf("region %q, want two", got)
	}
	if diff := cmp.Diff(map[string]string{"a.b": "1", "c": "3"}, file.Client.Meta); diff != "" {
		t.Errorf("meta (-want +got):\n%s", diff)
	}
	if r := file.Client.Reserved; nomadish.Val(r.Memory) != 100 || nomadish.Val(r.CPU) != 50 {
		t.Errorf("reserved %+v, want 100 MiB and 50 MHz", r)
	}
	values, err := file.Plugins[0].Values()
	want := map[string]any{"allow_privileged": true, "volumes": []any{map[string]any{"enabled": true}}}
	if diff := cmp.Diff(want, values); err != nil || diff != "" {
		t.Errorf("plugin, %v (-want +got):\n%s", err, diff)
	}
	cfg, err := file.Config()
	if err != nil || cfg.HTTP[0] != "0.0.0.0:1234" {
		t.Errorf("HTTP %v, %v; want 0.0.0.0:1234", cfg.HTTP, err)
	}
}

func TestUnknownKeysNameTheirPlace(t *testing.T) {
	_, _, err := load(t, "region = \"one\"\n\nclient {\n  enabeld = true\n}\n")
	if err == nil || !strings.Contains(err.Error(), "a.hcl:4,3") || !strings.Contains(err.Error(), "enabeld") {
		t.Errorf("error %v, want file, line 4 and the key", err)
	}
}

func TestKeysWithoutEffectWarn(t *testing.T) {
	_, warnings, err := load(t, "enable_syslog = true\nclient {\n  client_min_port = 14000\n}\n")
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[1], "client.client_min_port") {
		t.Errorf("warnings %q, %v; want enable_syslog and client.client_min_port", warnings, err)
	}
}

// What would make the agent less safe than its configuration says is refused, not ignored.
func TestProtectionIsNotIgnored(t *testing.T) {
	for key, text := range map[string]string{
		"tls.managed":         "tls {\n  managed = true\n  cert_file = \"x\"\n}",
		"tls.certificate_ttl": "tls {\n  certificate_ttl = \"1h\"\n}",
	} {
		file, _, err := load(t, text)
		if err == nil {
			_, err = file.Config()
		}
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: error %v, want one that names it", key, err)
		}
	}
}

// Files as people have them are taken, in all the ways that Nomad's HCL lets them be written.
func TestFilesOfTheField(t *testing.T) {
	files, err := filepath.Glob("testdata/field/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			file, _, err := agent.Load([]string{name})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Config(); err != nil {
				t.Error(err)
			}
			for _, p := range file.Plugins {
				if _, err := p.Values(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// One-line blocks, and blocks written as values, say what they say on many lines.
func TestBlocksOnOneLine(t *testing.T) {
	file, warnings, err := load(t, `
server { enabled = true, bootstrap_expect = 1 }
client { enabled = true options = { "env.denylist" = "TZ" } meta { rack = 1 } }
ports { http = 5646 rpc = 5647 }
plugin "docker" { config { gc { image = false } volumes { enabled = true } } }`)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load: %v, warnings %v", err, warnings)
	}
	cfg, err := file.Config()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Server == nil || cfg.Client == nil || cfg.HTTP[0] != "0.0.0.0:5646" || cfg.RPC != "0.0.0.0:5647" {
		t.Errorf("got %+v, want a server and a client on ports 5646 and 5647", cfg)
	}
	if diff := cmp.Diff(map[string]string{"rack": "1"}, cfg.Client.Meta); diff != "" {
		t.Errorf("meta (-want +got):\n%s", diff)
	}
}

// How large an archive of images may be that the API takes is the file's to say.
func TestImageBytes(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "limits { http_max_image_bytes = 1000 }": 1000, "limits { http_max_image_bytes = -1 }": -1} {
		file, _, err := load(t, text)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := file.Config()
		if cfg.MaxImages != want || (err != nil) != (want < 0) {
			t.Errorf("%q: got %d, %v", text, cfg.MaxImages, err)
		}
	}
}
