package hcl1_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/nomadish/nomadish/jobspec/hcl1"
)

type volume struct {
	Name     string  `hcl:"name,label"`
	Path     *string `hcl:"path,optional"`
	ReadOnly *bool   `hcl:"read_only,optional"`
}

type ports struct {
	HTTP *int `hcl:"http,optional"`
	RPC  *int `hcl:"rpc,optional"`
}

type config struct {
	Region  *string           `hcl:"region,optional"`
	Servers []string          `hcl:"servers,optional"`
	Meta    map[string]string `hcl:"meta,optional"`
	Ports   *ports            `hcl:"ports,block"`
	Volumes []*volume         `hcl:"volume,block"`
}

func decode(src string) (config, error) {
	var c config
	body, err := hcl1.Parse("a.hcl", []byte(src))
	if err != nil {
		return c, err
	}
	if diags := gohcl.DecodeBody(body, nil, &c); diags.HasErrors() {
		return c, diags
	}
	return c, nil
}

func ptr[T any](v T) *T { return &v }

// What people write for one thing in many ways is one thing.
func TestSpellings(t *testing.T) {
	two := &ports{HTTP: ptr(4646), RPC: ptr(4647)}
	volumes := []*volume{{Name: "a", Path: ptr("/a")}, {Name: "b", Path: ptr("/b"), ReadOnly: ptr(true)}}
	for name, tt := range map[string]struct {
		src  string
		want config
	}{
		"on one line":          {`ports { http = 4646 rpc = 4647 }`, config{Ports: two}},
		"on one line, comma":   {`region = "x", ports { http = 4646, rpc = 4647, }`, config{Region: ptr("x"), Ports: two}},
		"on many lines":        {"ports\n{\nhttp =\n4646\nrpc = 4647\n}", config{Ports: two}},
		"a block as a value":   {`ports = { http = 4646 rpc = 4647 }`, config{Ports: two}},
		"quoted names":         {`"ports" { "http" = 4646, "rpc" = "4647" }`, config{Ports: two}},
		"a list of one block":  {`ports = [{ http = 0x1226 rpc = 4647 }]`, config{Ports: two}},
		"a map as a block":     {`meta { "a.b" = 1, c = "x" d.e = true }`, config{Meta: map[string]string{"a.b": "1", "c": "x", "d.e": "true"}}},
		"a map as a value":     {`meta = { "a.b" = "1", c = "x" }`, config{Meta: map[string]string{"a.b": "1", "c": "x"}}},
		"a map in two places":  {"meta { a = 1 b = 2 }\nmeta { b = 3 }", config{Meta: map[string]string{"a": "1", "b": "3"}}},
		"said twice":           {`region = "a" region = "b"`, config{Region: ptr("b")}},
		"a list over lines":    {"servers = [\n\"a\",\n\"b\", # the second\n]", config{Servers: []string{"a", "b"}}},
		"labels":               {`volume "a" { path = "/a" } volume b { path = "/b" read_only = true }`, config{Volumes: volumes}},
		"labels as names":      {`volume { a = { path = "/a" } b { path = "/b" read_only = true } }`, config{Volumes: volumes}},
		"JSON":                 {`{"ports": {"http": 4646, "rpc": 4647}, "meta": {"a.b": "é\ud83d\ude00\/"}}`, config{Ports: two, Meta: map[string]string{"a.b": "é😀/"}}},
		"JSON, lists of one":   {`{"ports": [{"http": 4646, "rpc": 4647}], "meta": [{"a": "1"}, {"b": "2"}]}`, config{Ports: two, Meta: map[string]string{"a": "1", "b": "2"}}},
		"JSON, labels":         {`{"volume": [{"a": {"path": "/a"}}, {"b": [{"path": "/b", "read_only": true}]}]}`, config{Volumes: volumes}},
		"JSON, null":           {`{"ports": null, "region": null}`, config{}},
		"comments":             {"# a\n// b\n/* c\n} */ region /**/ = \"x\" # d", config{Region: ptr("x")}},
		"a text is a text":     {`region = "${attr.kernel.name == "x"} %{ if } \"q\" \t"`, config{Region: ptr("${attr.kernel.name == \"x\"} %{ if } \"q\" \t")}},
		"a template":           {`region = "{{ GetInterfaceIP \"eth0\" }}"`, config{Region: ptr(`{{ GetInterfaceIP "eth0" }}`)}},
		"a heredoc":            {"region = <<EOF\n a \"b\"\nEOF\nservers = []", config{Region: ptr(" a \"b\"\n"), Servers: []string{}}},
		"a heredoc, indented":  {"region = <<-EOF\n    a\n      b\n    EOF\n", config{Region: ptr("a\n  b\n")}},
		"nothing":              {" \n", config{}},
		"a mark at the start":  {"\uFEFFregion = \"x\"", config{Region: ptr("x")}},
		"the line ends of DOS": {"region = \"x\"\r\nports {\r\n http = 4646\r\n rpc = 4647\r\n}\r\n", config{Region: ptr("x"), Ports: two}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tt.src, diff)
			}
		})
	}
}

// A fault is told with its place, and what was expected there.
func TestFaults(t *testing.T) {
	for src, want := range map[string]string{
		"region = \"a\"\nports { htp = 1 }": `a.hcl:2,9-12: Unknown name; "htp" is not known here`,
		"region = \"a\"\nports {":           `2,8-8: Invalid configuration; the file ends within a block`,
		"ports { http = 1; rpc = 2 }":       `1,17-18: Invalid configuration; ';' is not expected here`,
		"region = a":                        `1,10-11: Invalid configuration; a value is expected here, not a; a text stands in quotes`,
		"region = \"a\nb\"":                 `closing quote is missing on the line`,
		`region = "a\q"`:                    `begins with no escape sequence`,
		"region":                            `= or { is expected after "region", not the end`,
		"a b = 1":                           `only one name may stand before =`,
		"}":                                 `a name is expected here, not }`,
		"{\"region\": \"a\"} x":             `x is not expected here`,
		"/* x":                              `a comment begins here that does not end`,
		"region = <<EOF\na":                 `no line with only EOF ends`,
		"region = 1.2.3":                    `1.2.3 is no number`,
		"servers = [\"a\" \"b\"]":           `a comma or ] is expected here`,
		"ports = 5":                         `"ports" is a block: { is expected here`,
		"ports \"x\" {}":                    `A block "ports" has no label "x"`,
		"volume {}":                         `A block "volume" wants a name before its {`,
		"region = [1":                       `a comma or ] is expected here`,
		"x = " + strings.Repeat("[", 1<<20): `nested at most 256 deep`,
	} {
		_, err := decode(src)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want %q", src, err, want)
		}
	}
}

// Without a schema blocks are lists of maps, and settings are values.
func TestValues(t *testing.T) {
	body, err := hcl1.Parse("a.hcl", []byte(`
n = 1.5
gc { image = true image_delay = "3m" }
auth = { config = "/x" }
mirror "a" { url = "u" }
mirror "b" { url = "v" }
list = [1, "x", { y = false }]`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"n": 1.5, "gc": []any{map[string]any{"image": true, "image_delay": "3m"}}, "auth": map[string]any{"config": "/x"},
		"mirror": []any{
			map[string]any{"a": map[string]any{"url": "u"}}, map[string]any{"b": map[string]any{"url": "v"}},
		},
		"list": []any{1.0, "x", map[string]any{"y": false}},
	}
	if diff := cmp.Diff(want, body.Values()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// No text makes reading it panic, and what is read can be decoded or is refused.
func FuzzParse(f *testing.F) {
	for _, src := range []string{
		`server { enabled = true, bootstrap_expect = 1 }`, `{"a": [{"b": {"c": null}}]}`, "a = <<-X\n  b\n  X\n",
		`volume "a" { path = "${x("y")}" } meta { "a.b" = -0x1f }`, `region = "\u00e9\ud83d"`,
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		body, err := hcl1.Parse("a.hcl", src)
		if err != nil {
			if body != nil {
				t.Error("a body beside an error")
			}
			return
		}
		body.Values()
		if _, diags := body.JustAttributes(); diags.HasErrors() {
			t.Errorf("attributes: %v", diags)
		}
		var c config
		_ = gohcl.DecodeBody(body, nil, &c)
	})
}
