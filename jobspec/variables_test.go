package jobspec_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
)

// A variable takes its value from the environment, then from files, then from
// options, the later the stronger, converted to its type.
func TestVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.vars")
	write(t, file, "v = \"file\"\n")
	for name, tt := range map[string]struct {
		declare string
		cfg     jobspec.Config
		want    string // jsonencode(var.v), or with a leading ! an error
	}{
		"default":             {"default = [1]", jobspec.Config{}, "[1]"},
		"null default":        {"default = null", jobspec.Config{}, "null"},
		"no value":            {"", jobspec.Config{}, `!<nil>: Unset variable "v"`},
		"environment":         {"default = \"a\"", jobspec.Config{Envs: []string{"X=1", "NOMAD_VAR_v=env", "NOMAD_VAR_other=1"}, Strict: true}, `"env"`},
		"our environment":     {"", jobspec.Config{Envs: []string{"NOMADISH_VAR_v=ours", "NOMAD_VAR_v=env"}}, `"ours"`},
		"content over env":    {"", jobspec.Config{Envs: []string{"NOMAD_VAR_v=env"}, VarContent: "v = \"text\""}, `"text"`},
		"JSON content":        {"", jobspec.Config{VarContent: `{"v": {"a": [1]}}`}, `{"a":[1]}`},
		"file over env":       {"", jobspec.Config{Envs: []string{"NOMAD_VAR_v=env"}, VarFiles: []string{file}}, `"file"`},
		"option over file":    {"", jobspec.Config{VarFiles: []string{file}, Vars: []string{"v=a=b"}}, `"a=b"`},
		"last option":         {"", jobspec.Config{Vars: []string{"v=a", "v=b"}}, `"b"`},
		"text stays text":     {"", jobspec.Config{Vars: []string{"v=[1]"}}, `"[1]"`},
		"string":              {"type = string", jobspec.Config{Vars: []string{"v=007"}}, `"007"`},
		"number":              {"type = number", jobspec.Config{Vars: []string{"v=7"}}, "7"},
		"no number":           {"type = number", jobspec.Config{Vars: []string{"v=x"}}, `!The value of variable "v" is not compatible`},
		"bool":                {"type = bool", jobspec.Config{Vars: []string{"v=true"}}, "true"},
		"list":                {"type = list(string)", jobspec.Config{Vars: []string{`v=["a", 1]`}}, `["a","1"]`},
		"object":              {"type = object({ a = number, b = optional(string, \"z\") })", jobspec.Config{Vars: []string{`v={a = "1"}`}}, `{"a":1,"b":"z"}`},
		"no list":             {"type = list(string)", jobspec.Config{Vars: []string{`v=a`}}, "!Variables not allowed"},
		"typed by default":    {"default = 1", jobspec.Config{Vars: []string{"v=2"}}, "2"},
		"like default":        {"default = [\"a\"]", jobspec.Config{Vars: []string{`v=["b", "c"]`}}, `["b","c"]`},
		"default of a type":   {"type = list(number)\n default = [\"1\"]", jobspec.Config{}, "[1]"},
		"bad default":         {"type = number\n default = \"x\"", jobspec.Config{}, "!Invalid default value for variable"},
		"undeclared":          {"default = 1", jobspec.Config{Vars: []string{"w=1"}, VarContent: "x = 1"}, "1"},
		"undeclared, strict":  {"default = 1", jobspec.Config{Vars: []string{"vv=1"}, Strict: true}, `!A "vv" variable was set but was not found`},
		"undeclared in file":  {"default = 1", jobspec.Config{VarContent: "vv = 1", Strict: true}, "!input.hcl.vars:1,1-3: Undefined variable"},
		"no equals sign":      {"default = 1", jobspec.Config{Vars: []string{"v"}}, "!Invalid -var option"},
		"missing file":        {"default = 1", jobspec.Config{VarFiles: []string{"/nonexistent"}}, "!Failed to read variables file"},
		"bad file":            {"default = 1", jobspec.Config{VarContent: "v = ["}, "!input.hcl.vars:1,6-6: "},
		"valid":               {"default = 3\n validation {\n condition = var.v > 2\n error_message = \"Too small.\"\n}", jobspec.Config{}, "3"},
		"invalid":             {"default = 1\n validation {\n condition = var.v > 2\n error_message = \"Too small.\"\n}", jobspec.Config{}, "!Invalid value for v variable; Too small."},
		"condition no bool":   {"default = 1\n validation {\n condition = [1]\n error_message = \"Too small.\"\n}", jobspec.Config{}, "!Invalid validation condition"},
		"no message":          {"default = 1\n validation {\n condition = true\n error_message = \"\"\n}", jobspec.Config{}, "!Invalid validation error message"},
		"described":           {"default = 1\n description = \"x\"", jobspec.Config{}, "1"},
		"function in default": {"default = upper(\"x\")", jobspec.Config{}, "!Function calls not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tt.cfg
			cfg.Body = []byte("variable \"v\" {\n" + tt.declare + "\n}\njob \"m\" {\n region = jsonencode(var.v)\n}\n")
			job, err := jobspec.Parse(cfg)
			if message, wrong := strings.CutPrefix(tt.want, "!"); wrong {
				if err == nil || !strings.Contains(err.Error(), message) {
					t.Fatalf("got %v, want %s", err, message)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := *job.Region; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// File functions look beside the job file first, then in the working directory.
func TestFiles(t *testing.T) {
	beside, cwd := t.TempDir(), t.TempDir()
	t.Chdir(cwd)
	t.Setenv("HOME", beside)
	write(t, filepath.Join(beside, "both"), "beside")
	write(t, filepath.Join(cwd, "both"), "cwd")
	write(t, filepath.Join(cwd, "far"), "far")
	write(t, filepath.Join(beside, "a.tmpl"), "%{ for x in xs }<${upper(x)}>%{ endfor } ${NOMAD_X}")
	write(t, filepath.Join(beside, "self.tmpl"), `${templatefile("self.tmpl", {})}`)
	for expr, want := range map[string]string{
		`file("both")`:   "beside",
		`file("far")`:    "far",
		`file("~/both")`: "beside",
		`file("` + filepath.Join(cwd, "both") + `")`:    "cwd",
		`fileexists("far") ? "a" : "b"`:                 "a",
		`fileexists("no") ? "a" : "b"`:                  "b",
		`join(",", fileset(".", "*.tmpl"))`:             "a.tmpl,self.tmpl",
		`length(fileset(".", "**/none"))`:               "0",
		`pathexpand("~/x")`:                             beside + "/x",
		`templatefile("a.tmpl", { xs = ["a", "b"] })`:   "<A><B> ${NOMAD_X}",
		`try(templatefile("self.tmpl", {}), "refused")`: "refused",
		`try(file("no"), "none")`:                       "none",
		`try(templatefile("a.tmpl", []), "no map")`:     "no map",
	} {
		t.Run(expr, func(t *testing.T) {
			cfg := jobspec.Config{Path: filepath.Join(beside, "m.nomad.hcl"), AllowFS: true}
			if got := *parse(t, cfg, within("region = "+expr)).Region; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// An error knows its place and shows it.
func TestErrorText(t *testing.T) {
	body := "job \"web\" {\n  group \"api\" {\n    cuont = 3\n  }\n}\n"
	_, err := jobspec.Parse(jobspec.Config{Path: "web.nomad.hcl", Body: []byte(body)})
	var fault *jobspec.Error
	if !errors.As(err, &fault) {
		t.Fatal(err)
	}
	p := fault.Problems[0]
	if p.Range.Filename != "web.nomad.hcl" || p.Range.Start.Line != 3 || p.Range.Start.Column != 5 || p.Suggestion != "count" {
		t.Errorf("problem %+v", p)
	}
	want := `Error: Unsupported argument

  on web.nomad.hcl line 3, column 5, in group "api":
   3:     cuont = 3
          ^^^^^

An argument named "cuont" is not expected here. Did you mean "count"?

`
	if diff := cmp.Diff(want, fault.Text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A misspelt variable is suggested though the message stays Nomad's.
func TestSuggestVariable(t *testing.T) {
	body := "variable \"region\" {\n default = \"a\"\n}\n" + within("region = var.regoin")
	_, err := jobspec.Parse(jobspec.Config{Body: []byte(body)})
	var fault *jobspec.Error
	if !errors.As(err, &fault) || fault.Problems[0].Suggestion != "region" {
		t.Fatalf("got %#v", err)
	}
	if text := fault.Text(); !strings.Contains(text, `Did you mean "region"?`) || strings.Contains(text, "must be known") {
		t.Errorf("text %s", text)
	}
}

// Each part of a job is found in the file.
func TestPositions(t *testing.T) {
	body := `job "m" {
  priority = 5
  group "g" {
    update {
      canary = 1
    }
    service {
      port = "a"
    }
    service {
      port = "b"
    }
    task "t" {
      env {
        A = "1"
      }
      config {
        image = "x"
      }
    }
  }
}
`
	spec, err := jobspec.Load(jobspec.Config{Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	for path, line := range map[string]int{
		"": 1, "priority": 2, "group.g": 3, "group.g.update.canary": 5, "group.g.service.port": 8, "group.g.service[1].port": 11,
		"group.g.task.t": 13, "group.g.task.t.env.A": 15, "group.g.task.t.config.image": 18, "group.g.task.t.resources.cpu": 13, "nothing": 1,
	} {
		if at, ok := spec.Positions.Find(path); !ok || at.Start.Line != line {
			t.Errorf("%q at %s, want line %d", path, at, line)
		}
	}
}

// A formatted file is the same job, and a file with an error is refused.
func TestFormat(t *testing.T) {
	got, err := jobspec.Format([]byte("job \"m\" {\nregion=\"a\"\n  type    =\"b\"\n}\n"), "m.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if want := "job \"m\" {\n  region = \"a\"\n  type   = \"b\"\n}\n"; string(got) != want {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"job {", `{"job": {}}`} {
		if _, err := jobspec.Format([]byte(bad), "m.hcl"); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
