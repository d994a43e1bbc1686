package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/jobspec"
)

// imageTexts are command lines of run, and the job files that they stand for.
var imageTexts = []struct {
	name string
	args []string
	want string
}{
	{"image alone", []string{"nginx:1.27"}, `job "nginx" {
  group "nginx" {
    task "nginx" {
      driver = "docker"
      config {
        image = "nginx:1.27"
      }
    }
  }
}
`},
	{
		"everything", []string{
			"-name", "api", "registry.local:5000/team/api@sha256:abc", "-port", "http=8080:80", "-port=metrics", "-port", "9000", "-env", "A=${attr.cpu.arch} \"x\"",
			"-volume", "/srv:/data:ro", "-count", "3", "-cpu", "200", "-memory=64", "serve", "-v", "--", "%{x}",
		}, `job "api" {
  group "api" {
    count = 3
    network {
      port "http" {
        static = 8080
        to     = 80
      }
      port "metrics" {
      }
      port "p9000" {
        to = 9000
      }
    }
    task "api" {
      driver = "docker"
      config {
        image   = "registry.local:5000/team/api@sha256:abc"
        command = "serve"
        args    = ["-v", "--", "\u0025{x}"]
        ports   = ["http", "metrics", "p9000"]
        volumes = ["/srv:/data:ro"]
      }
      env {
        A = "\u0024{attr.cpu.arch} \"x\""
      }
      resources {
        cpu    = 200
        memory = 64
      }
    }
  }
}
`,
	},
	{"to its end, without a container", []string{"-batch", "-driver", "raw_exec", "/bin/echo", "--", "-n", "hello"}, `job "echo" {
  type = "batch"
  group "echo" {
    restart {
      attempts = 0
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "echo" {
      driver = "raw_exec"
      config {
        command = "/bin/echo"
        args    = ["-n", "hello"]
      }
    }
  }
}
`},
	{"with a terminal", []string{"-it", "-rm", "alpine:3", "python"}, `job "alpine" {
  type = "batch"
  group "alpine" {
    restart {
      attempts = 0
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "alpine" {
      driver       = "docker"
      kill_timeout = "2s"
      config {
        image      = "alpine:3"
        entrypoint = ["sh", "-c", "trap 'exit 0' INT TERM; while :; do sleep 60 & wait $!; done"]
      }
    }
  }
}
`},
}

// TestRunImageText: the command line becomes a job file, laid out in the canonical way.
func TestRunImageText(t *testing.T) {
	for _, tt := range imageTexts {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "to its end, without a container" { // a program that is there is not taken for a job file
				t.Chdir(t.TempDir())
				tt.args[3] = "echo"
				tt.want = strings.Replace(tt.want, "/bin/echo", "echo", 1)
			}
			got := runs(t, "", nil, append([]string{"run", "-hcl"}, tt.args...)...)
			if diff := cmp.Diff(tt.want, got.stdout); diff != "" || got.code != ExitOK {
				t.Errorf("code %d, %s%s", got.code, got.stderr, diff)
			}
		})
	}
}

// TestRunImageMisused: what no job can be made of is a mistake on the command line.
func TestRunImageMisused(t *testing.T) {
	for args, want := range map[string]string{
		"nginx -port 70000":            "[LABEL=][HOST:]PORT",
		"nginx -port 80:":              "[LABEL=][HOST:]PORT",
		"nginx -port a=b":              "[LABEL=][HOST:]PORT",
		"nginx -port ü":                "no label",
		"nginx -env =x":                "NAME=VALUE",
		"nginx -env x":                 "NAME=VALUE",
		"x -driver raw_exec -volume a": "no volumes",
		"x -driver java":               "can't write the config",
		"x -rm -detach":                "exclude each other",
		"x.hcl what":                   "takes no command",
		"x -it -detach":                "exclude each other",
		"x -it -count 2":               "one allocation",
		"x -it -t {{.JobID}}":          "standard output",
	} {
		got := runs(t, "", nil, append([]string{"run"}, strings.Fields(args)...)...)
		if got.code != ExitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("run %s: got %+v, want %q", args, got, want)
		}
	}
}

// TestQuoted: a text that is written into a job file is read back as it was.
func TestQuoted(t *testing.T) {
	for _, text := range []string{
		"", "plain", `"\`, "a\nb\r\tc\x01\x7f", "${x}", "$${x}", "$$${x}", "%{if}", "%%{if}", "$", "{", "ünï→", "$\n{",
	} {
		spec, err := jobspec.Load(jobspec.Config{Path: "x", Body: []byte("job \"a\" {\n  meta {\n    k = " + quoted(text) + "\n  }\n}\n")})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := spec.Job.Meta["k"]; got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}

// TestIsJobFile: a file that is there, or a name that only a job file has.
func TestIsJobFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("nginx", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(".", "redis"), 0o700); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]bool{"-": true, "a.hcl": true, "a.json": true, "x/a.nomad": true, "nginx": true, "redis": false, "nginx:1.27": false} {
		if got := isJobFile(arg); got != want {
			t.Errorf("%s: got %v, want %v", arg, got, want)
		}
	}
}
