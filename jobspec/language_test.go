package jobspec_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
)

func parse(t *testing.T, cfg jobspec.Config, body string) *nomadish.Job {
	t.Helper()
	cfg.Body = []byte(body)
	job, err := jobspec.Parse(cfg)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, body)
	}
	return job
}

// inTask puts text into the task of a job.
func inTask(text string) string {
	return "job \"m\" {\n  group \"g\" {\n    task \"t\" {\n" + text + "\n    }\n  }\n}\n"
}

func inGroup(text string) string {
	return "job \"m\" {\n  group \"g\" {\n" + text + "\n  }\n}\n"
}

func task(job *nomadish.Job) *nomadish.Task { return job.TaskGroups[0].Tasks[0] }

// An expression gives the value that the language says.
func TestExpressions(t *testing.T) {
	for expr, want := range map[string]string{
		`"a"`:                           "a",
		`1 + 2 * 3`:                     "7",
		`7 / 2`:                         "3.5",
		`7 % 4`:                         "3",
		`-(1)`:                          "-1",
		`1 < 2 && !false`:               "true",
		`true ? "a" : "b"`:              "a",
		`"a${1}b${true}"`:               "a1btrue",
		`"%{if true}a%{else}b%{endif}"`: "a",
		`"%{for x in ["a", "b"]}<${x}>%{endfor}"`:                   "<a><b>",
		`join(",", [for x in ["a", "b"] : upper(x)])`:               "A,B",
		`join(",", [for i, x in ["a", "b"] : "${i}${x}" if i > 0])`: "1b",
		`jsonencode({for k, v in {a = 1} : k => v + 1})`:            `{"a":2}`,
		`jsonencode({for x in ["a", "b", "a"] : x => 1...})`:        `{"a":[1,1],"b":[1]}`,
		`join(",", [{a = "x"}, {a = "y"}][*].a)`:                    "x,y",
		`join(",", [{a = "x"}].*.a)`:                                "x",
		`{a = {b = "c"}}.a.b`:                                       "c",
		`{"a b" = "c"}["a b"]`:                                      "c",
		`{(upper("a")) = "c"}.A`:                                    "c",
		`["a", "b"][1]`:                                             "b",
		`"$${a} %%{b}"`:                                             "${a} %{b}",
		`"\u00e9\t\"\\"`:                                            "\u00e9\t\"\\",
		"<<E\na\n  b\nE\n":                                          "a\n  b\n",
		"<<-E\n    a\n      b\n  E\n":                               "a\n  b\n",
		"<<E\n  ${~ \"a\" ~}\n  b\nE\n":                             "a  b\n",

		// What the file does not define stays as it is written.
		`"${NOMAD_PORT_http}"`:                              "${NOMAD_PORT_http}",
		`"x ${attr.kernel.name}/${meta.a-b} y"`:             "x ${attr.kernel.name}/${meta.a-b} y",
		`"${ node.unique.id }"`:                             "${node.unique.id}",
		`node.class`:                                        "${node.class}",
		`"${env["HOME"]}"`:                                  `${env["HOME"]}`,
		`"${attr.cpu.0.x}"`:                                 "${attr.cpu.0.x}",
		`upper(attr.a)`:                                     "${ATTR.A}",
		`[for x in ["a"] : "${x}-${meta.x}"][0]`:            "a-${meta.x}",
		`{a = meta.b}.a`:                                    "${meta.b}",
		`try(meta.b, "x")`:                                  "${meta.b}",
		`try({}.a, "x")`:                                    "x",
		`can({}.a) ? "a" : "b"`:                             "b",
		"<<E\n${NOMAD_ADDR_x} {{ env \"A\" }} $A $(b)\nE\n": "${NOMAD_ADDR_x} {{ env \"A\" }} $A $(b)\n",
	} {
		t.Run(expr, func(t *testing.T) {
			job := parse(t, jobspec.Config{}, "job \"m\" {\n  region = "+expr+"\n}\n")
			if got := nomadish.Val(job.Region); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Each documented function gives its documented result.
func TestFunctions(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	for expr, want := range map[string]string{
		`abs(-12.4)`: "12.4", `ceil(5.1)`: "6", `floor(4.9)`: "4", `log(16, 2)`: "4", `max(5, 12, 9)`: "12",
		`min([5, 12, 9]...)`: "5", `parseint("FF", 16)`: "255", `pow(3, 2)`: "9", `signum(-13)`: "-1", `sum([1, 2])`: "3",

		`chomp("hello\n")`: "hello", `format("%s %d %05.1f %q", "a", 1, 2.25, "b")`: `a 1 002.2 "b"`,
		`join(",", formatlist("%s-%s", "a", ["b", "c"]))`: "a-b,a-c", `indent(2, "a\nb")`: "a\n  b",
		`join(", ", ["foo", "bar"])`: "foo, bar", `lower("HELLO")`: "hello", `regex("[a-z]+", "53453foo")`: "foo",
		`jsonencode(regexall("[a-z]", "1a2b"))`: `["a","b"]`, `replace("1 + 2 + 3", "+", "-")`: "1 - 2 - 3",
		`replace("hello", "/l+/", "L")`: "heLo", `replace("ab", "/(a)(b)/", "$2$1")`: "ba", `regex_replace("abc", "b", "x")`: "axc",
		`jsonencode(split(",", "a,b"))`: `["a","b"]`, `strrev("hello")`: "olleh", `substr("hello", 1, 4)`: "ello",
		`title("hello world")`: "Hello World", `trim("?!hello?!", "!?")`: "hello", `trimprefix("helloworld", "hello")`: "world",
		`trimspace("  hello\n")`: "hello", `trimsuffix("helloworld", "world")`: "hello", `upper("hello")`: "HELLO",
		`strlen("h\u00e9")`: "2", `startswith("abc", "ab")`: "true", `endswith("abc", "bc")`: "true", `strcontains("abc", "b")`: "true",

		`jsonencode(chunklist(["a", "b", "c"], 2))`: `[["a","b"],["c"]]`, `coalesce(null, "b")`: "b",
		`coalescelist([], ["c"])[0]`: "c", `join("", compact(["a", "", "b"]))`: "ab", `join("", concat(["a"], ["b"]))`: "ab",
		`contains(["a"], "a")`: "true", `join("", distinct(["a", "b", "a"]))`: "ab", `element(["a", "b"], 3)`: "b",
		`jsonencode(flatten([["a"], [], ["b"]]))`: `["a","b"]`, `index(["a", "b"], "b")`: "1", `index({a = "x"}, "a")`: "x", `join("", keys({b = 1, a = 2}))`: "ab",
		`length([1, 2])`: "2", `length("abc")`: "3", `length({a = 1})`: "1", `lookup({a = "x"}, "b", "y")`: "y",
		`jsonencode(merge({a = 1}, {b = 2}))`: `{"a":1,"b":2}`, `jsonencode(range(1, 8, 3))`: "[1,4,7]",
		`join("", reverse(["a", "b"]))`: "ba", `join("", setintersection(["a", "b"], ["b"]))`: "b",
		`jsonencode(setproduct(["a"], ["b", "c"]))`: `[["a","b"],["a","c"]]`, `join("", setsubtract(["a", "b"], ["b"]))`: "a",
		`join("", setunion(["a"], ["b"]))`: "ab", `join("", slice(["a", "b", "c"], 1, 2))`: "b", `join("", sort(["b", "a"]))`: "ab",
		`jsonencode(values({a = 1}))`: "[1]", `jsonencode(zipmap(["a"], [1]))`: `{"a":1}`,

		`base64encode("hi")`: "aGk=", `base64decode("aGk=")`: "hi", `csvdecode("a,b\n1,2")[0].b`: "2",
		`jsondecode("{\"a\": [1, null]}").a[0]`: "1", `urlencode("a b&c")`: "a+b%26c", `yamldecode("a:\n- b").a[0]`: "b",
		`yamldecode("x: &a [1]\nb: *a").b[0]`: "1", `yamlencode({a = [1]})`: "\"a\":\n- 1\n",

		`formatdate("YYYY-MM-DD", "2018-01-02T23:12:01Z")`: "2018-01-02", `timeadd("2017-11-22T00:00:00Z", "10m")`: "2017-11-22T00:10:00Z",
		`timestamp()`: "2026-01-02T03:04:05Z",

		`md5("hello world")`:                  "5eb63bbbe01eeed093cb22bb8f5acdc3",
		`sha1("hello world")`:                 "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
		`substr(sha256("hello world"), 0, 8)`: "b94d27b9", `substr(sha512("hello world"), 0, 8)`: "309ecc48",
		`substr(bcrypt("x", 4), 0, 7)`: "$2a$04$", `length(uuidv4())`: "36",
		`uuidv5("dns", "www.terraform.io")`:                                   "a5008fae-b28c-5ba5-96cd-82b4c53552d6",
		`uuidv5("6ba7b811-9dad-11d1-80b4-00c04fd430c8", "https://a.example")`: "407dad73-df29-5ed9-b960-f5f7f980e0bd",

		`cidrhost("10.12.127.0/20", 16)`: "10.12.112.16", `cidrhost("10.0.0.0/8", -2)`: "10.255.255.254",
		`cidrnetmask("172.16.0.0/12")`: "255.240.0.0", `cidrsubnet("172.16.0.0/12", 4, 2)`: "172.18.0.0/16",
		`jsonencode(cidrsubnets("10.1.0.0/16", 4, 4, 8, 4))`: `["10.1.0.0/20","10.1.16.0/20","10.1.32.0/24","10.1.48.0/20"]`,

		`convert("5", number) + 1`: "6", `jsonencode(convert([1], list(string)))`: `["1"]`, `tostring(1)`: "1",
		`tonumber("1") + 1`: "2", `tobool("true") ? "a" : "b"`: "a", `length(toset(["a", "a"]))`: "1",
		`basename("a/b")`: "b", `dirname("a/b")`: "a",
	} {
		t.Run(expr, func(t *testing.T) {
			job := parse(t, jobspec.Config{Now: now}, "job \"m\" {\n  region = "+expr+"\n}\n")
			if got := nomadish.Val(job.Region); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

type blockCase struct {
	body string
	get  func(*nomadish.Job) any
	want any
}

var blockCases = map[string]blockCase{
	"id and name come from the label": {
		`job "m" {}`,
		func(j *nomadish.Job) any { return *j.ID + " " + *j.Name }, "m m",
	},
	"id and name may be given": {
		"job \"m\" {\n id = \"a\"\n name = \"b\"\n}",
		func(j *nomadish.Job) any { return *j.ID + " " + *j.Name }, "a b",
	},
	"a task without a group makes one": {
		"job \"m\" {\n task \"t\" {\n driver = \"d\"\n }\n}",
		func(j *nomadish.Job) any { return *j.TaskGroups[0].Name + task(j).Driver }, "td",
	},
	"numbers and bools from strings": {
		inTask("leader = \"true\"\n resources {\n cpu = \"5\"\n }"),
		func(j *nomadish.Job) any { return []any{task(j).Leader, *task(j).Resources.CPU} },
		[]any{true, 5},
	},
	"strings from numbers": {
		inTask("env {\n A = 1\n B = true\n C = 1.50\n D = null\n}"),
		func(j *nomadish.Job) any { return task(j).Env },
		map[string]string{"A": "1", "B": "true", "C": "1.5"},
	},
	"env as a map": {
		inTask("env = merge({ \"a.b\" = 1 }, { C = \"${NOMAD_IP_x}\" })"),
		func(j *nomadish.Job) any { return task(j).Env },
		map[string]string{"a.b": "1", "C": "${NOMAD_IP_x}"},
	},
	"meta as a map": {
		"job \"m\" {\n meta = { a = 1, b = null }\n}",
		func(j *nomadish.Job) any { return j.Meta },
		map[string]string{"a": "1"},
	},
	"durations": {
		inTask("kill_timeout = \"1m30s\"\n shutdown_delay = 1000000000"),
		func(j *nomadish.Job) any { return []any{*task(j).KillTimeout, task(j).ShutdownDelay} },
		[]any{90 * time.Second, time.Second},
	},
	"null is absence": {
		inTask("user = null\n kill_timeout = null"),
		func(j *nomadish.Job) any { return []any{task(j).User, task(j).KillTimeout == nil} },
		[]any{"", true},
	},
	"config": {
		inTask("config {\n a = 1\n b = [1, \"x\", null]\n c = { d = { e = 1.5 } }\n f {\n g = true\n}\n f {\n h {\n}\n}\n i \"x\" \"y\" {\n z = 1\n}\n}"),
		func(j *nomadish.Job) any { return task(j).Config },
		map[string]any{
			"a": int64(1), "b": []any{int64(1), "x", nil},
			"c": []any{map[string]any{"d": map[string]any{"e": 1.5}}},
			"f": []any{map[string]any{"g": true}, map[string]any{"h": []any{map[string]any{}}}},
			"i": []any{map[string]any{"x": []any{map[string]any{"y": []any{map[string]any{"z": int64(1)}}}}}},
		},
	},
	"dynamic in config": {
		inTask("config {\n dynamic \"mount\" {\n for_each = [\"a\", \"b\"]\n content {\n source = mount.value\n}\n}\n}"),
		func(j *nomadish.Job) any { return task(j).Config },
		map[string]any{
			"mount": []any{map[string]any{"source": "a"}, map[string]any{"source": "b"}},
		},
	},
	"ports": {
		inGroup("network {\n port \"a\" {\n static = 80\n to = 8080\n}\n port \"b\" {}\n}"),
		func(j *nomadish.Job) any {
			n := j.TaskGroups[0].Networks[0]
			return []any{n.ReservedPorts, n.DynamicPorts}
		},
		[]any{[]nomadish.Port{{Label: "a", Value: 80, To: 8080}}, []nomadish.Port{{Label: "b"}}},
	},
	"network in resources": {
		inTask("resources {\n network {\n mbits = 5\n port \"a\" {}\n}\n}"),
		func(j *nomadish.Job) any { return task(j).Resources.Networks[0].DynamicPorts },
		[]nomadish.Port{{Label: "a"}},
	},
	"cni arguments": {
		inGroup("network {\n cni {\n args = { a = 1 }\n}\n}"),
		func(j *nomadish.Job) any { return j.TaskGroups[0].Networks[0].CNI.Args },
		map[string]string{"a": "1"},
	},
	"headers": {
		inTask("service {\n check {\n header {\n A = [\"b\", \"c\"]\n}\n}\n}"),
		func(j *nomadish.Job) any { return task(j).Services[0].Checks[0].Header },
		map[string][]string{"A": {"b", "c"}},
	},
	"volumes": {
		inGroup("volume \"a\" {\n type = \"host\"\n}\n volume \"b\" {\n read_only = true\n mount_options {\n mount_flags = [\"x\"]\n}\n}"),
		func(j *nomadish.Job) any { return j.TaskGroups[0].Volumes },
		map[string]*nomadish.VolumeRequest{
			"a": {Name: "a", Type: "host"},
			"b": {Name: "b", ReadOnly: true, MountOptions: &nomadish.CSIMountOptions{MountFlags: []string{"x"}}},
		},
	},
	"constraint words": {
		"job \"m\" {\n constraint {\n distinct_hosts = true\n}\n constraint {\n attribute = \"${attr.a}\"\n version = \">= 1\"\n}\n constraint {\n distinct_property = node.datacenter\n value = 2\n}\n constraint {\n attribute = attr.b\n set_contains_any = \"a,b\"\n}\n}",
		func(j *nomadish.Job) any { return j.Constraints },
		[]*nomadish.Constraint{
			{Operand: "distinct_hosts", RTarget: "true"},
			{LTarget: "${attr.a}", Operand: "version", RTarget: ">= 1"},
			{LTarget: "${node.datacenter}", Operand: "distinct_property", RTarget: "2"},
			{LTarget: "${attr.b}", Operand: "set_contains_any", RTarget: "a,b"},
		},
	},
	"vault is inherited": {
		"job \"m\" {\n vault {\n role = \"r\"\n}\n group \"g\" {\n vault {\n role = \"s\"\n}\n task \"t\" {}\n task \"u\" {\n vault {}\n}\n}\n group \"h\" {\n task \"v\" {}\n}\n}",
		func(j *nomadish.Job) any {
			return []string{j.TaskGroups[0].Tasks[0].Vault.Role, j.TaskGroups[0].Tasks[1].Vault.Role, j.TaskGroups[1].Tasks[0].Vault.Role}
		},
		[]string{"s", "", "r"},
	},
	"identities": {
		inTask("identity {\n env = true\n}\n identity {\n name = \"a\"\n aud = [\"x\"]\n ttl = \"1h\"\n}"),
		func(j *nomadish.Job) any { return []any{task(j).Identity, task(j).Identities} },
		[]any{
			&nomadish.WorkloadIdentity{Env: true}, []*nomadish.WorkloadIdentity{{Name: "a", Audience: []string{"x"}, TTL: time.Hour}},
		},
	},
	"scaling of a task": {
		inTask("scaling \"cpu\" {\n policy {\n check \"a\" {\n b = 1\n}\n}\n}"),
		func(j *nomadish.Job) any { return *task(j).ScalingPolicies[0] },
		nomadish.ScalingPolicy{
			Type:   "vertical_cpu",
			Policy: map[string]any{"check": []any{map[string]any{"a": []any{map[string]any{"b": int64(1)}}}}},
		},
	},
	"scaling of a group": {
		inGroup("scaling {\n max = 5\n}"),
		func(j *nomadish.Job) any { return *j.TaskGroups[0].Scaling },
		nomadish.ScalingPolicy{Type: "horizontal", Max: nomadish.Ptr(int64(5))},
	},
	"periodic": {
		"job \"m\" {\n periodic {\n crons = [\"@daily\"]\n time_zone = \"UTC\"\n}\n}",
		func(j *nomadish.Job) any { return *j.Periodic },
		nomadish.PeriodicConfig{Specs: []string{"@daily"}, SpecType: nomadish.Ptr("cron"), TimeZone: nomadish.Ptr("UTC")},
	},
	"multiregion": {
		"job \"m\" {\n multiregion {\n strategy {\n on_failure = \"fail_all\"\n}\n region \"a\" {\n count = 1\n meta {\n x = 1\n}\n}\n}\n}",
		func(j *nomadish.Job) any { return *j.Multiregion },
		nomadish.Multiregion{
			Strategy: &nomadish.MultiregionStrategy{OnFailure: nomadish.Ptr("fail_all")},
			Regions:  []*nomadish.MultiregionRegion{{Name: "a", Count: nomadish.Ptr(1), Meta: map[string]string{"x": "1"}}},
		},
	},
	"template": {
		inTask("template {\n data = \"a\"\n wait {\n min = \"1s\"\n}\n change_script {\n command = \"c\"\n}\n}"),
		func(j *nomadish.Job) any { return *task(j).Templates[0] },
		nomadish.Template{
			EmbeddedTmpl: nomadish.Ptr("a"), ChangeMode: nomadish.Ptr("restart"),
			Splay: nomadish.Ptr(5 * time.Second), Perms: nomadish.Ptr("0644"), ErrMissingKey: nomadish.Ptr(false),
			Wait: &nomadish.WaitConfig{Min: nomadish.Ptr(time.Second)}, ChangeScript: &nomadish.ChangeScript{Command: nomadish.Ptr("c")},
		},
	},
	"gateway": {
		inGroup("service {\n connect {\n gateway {\n proxy {\n envoy_gateway_bind_addresses \"a\" {\n address = \"b\"\n port = 1\n}\n config {\n c = 1\n}\n}\n ingress {\n listener {\n port = 2\n service {\n name = \"*\"\n max_connections = 3\n request_headers {\n add {\n d = \"e\"\n}\n}\n}\n}\n}\n mesh {}\n}\n}\n}"),
		func(j *nomadish.Job) any { return *j.TaskGroups[0].Services[0].Connect.Gateway },
		nomadish.ConsulGateway{
			Proxy: &nomadish.ConsulGatewayProxy{
				Config:                    map[string]any{"c": int64(1)},
				EnvoyGatewayBindAddresses: map[string]*nomadish.ConsulGatewayBindAddress{"a": {Name: "a", Address: "b", Port: 1}},
			},
			Ingress: &nomadish.ConsulIngressConfigEntry{Listeners: []*nomadish.ConsulIngressListener{{Port: 2, Services: []*nomadish.ConsulIngressService{{
				Name: "*", MaxConnections: nomadish.Ptr(uint32(3)), RequestHeaders: &nomadish.ConsulHTTPHeaderModifiers{Add: map[string]string{"d": "e"}},
			}}}}},
			Mesh: &nomadish.ConsulMeshConfigEntry{},
		},
	},
	"sidecar": {
		inGroup("service {\n connect {\n sidecar_service {\n proxy {\n upstreams {\n destination_name = \"a\"\n local_bind_port = 1\n}\n transparent_proxy {\n exclude_outbound_ports = [1, \"2\"]\n}\n expose {\n path {\n listener_port = \"x\"\n}\n}\n}\n}\n}\n}"),
		func(j *nomadish.Job) any { return *j.TaskGroups[0].Services[0].Connect.SidecarService.Proxy },
		nomadish.ConsulProxy{
			Upstreams:        []*nomadish.ConsulUpstream{{DestinationName: "a", LocalBindPort: 1}},
			TransparentProxy: &nomadish.ConsulTransparentProxy{ExcludeOutboundPorts: []uint16{1, 2}},
			Expose:           &nomadish.ConsulExposeConfig{Paths: []*nomadish.ConsulExposePath{{ListenerPort: "x"}}},
		},
	},
	"device, action, schedule, secret, ui": {
		"job \"m\" {\n ui {\n link {\n label = \"l\"\n}\n}\n group \"g\" {\n task \"t\" {\n resources {\n device \"nvidia/gpu\" {\n count = 2\n affinity {\n weight = -5\n}\n}\n}\n action \"a\" {\n command = \"c\"\n}\n schedule {\n cron {\n start = \"s\"\n}\n}\n secret \"s\" {\n provider = \"p\"\n config {\n k = 1\n}\n}\n}\n}\n}",
		func(j *nomadish.Job) any {
			return []any{
				j.UI.Links[0].Label, *task(j).Resources.Devices[0].Count, *task(j).Resources.Devices[0].Affinities[0].Weight,
				task(j).Actions[0].Command, task(j).Schedule.Cron.Start, task(j).Secrets[0].Name, task(j).Secrets[0].Config,
			}
		},
		[]any{"l", uint64(2), int8(-5), "c", "s", "s", map[string]any{"k": int64(1)}},
	},
	"dynamic blocks": {
		"locals {\n gs = { a = [\"x\", \"y\"], b = [] }\n}\n job \"m\" {\n dynamic \"group\" {\n for_each = local.gs\n iterator = g\n labels = [\"g-${g.key}\"]\n content {\n count = length(g.value)\n dynamic \"task\" {\n for_each = g.value\n labels = [task.value]\n content {\n driver = \"${g.key}-${task.key}-${meta.z}\"\n}\n}\n}\n}\n}",
		func(j *nomadish.Job) any {
			return []any{*j.TaskGroups[0].Name, *j.TaskGroups[0].Count, j.TaskGroups[0].Tasks[1].Name, j.TaskGroups[0].Tasks[1].Driver, *j.TaskGroups[1].Name, *j.TaskGroups[1].Count}
		},
		[]any{"g-a", 2, "y", "a-1-${meta.z}", "g-b", 0},
	},
	"locals in any order": {
		"locals {\n a = \"${local.b}1\"\n}\n locals {\n b = \"${local.c}2\"\n c = var.v\n}\n variable \"v\" {\n default = \"3\"\n}\n job \"m\" {\n region = local.a\n}",
		func(j *nomadish.Job) any { return *j.Region }, "321",
	},
	"JSON": {
		`{"//": "x", "variable": {"v": {"type": "list(string)", "default": ["a"]}}, "job": {"m": {"region": "${upper(var.v[0])}-${meta.x}", "meta": {"k": 1},
			"group": [{"g": {"count": "${length(var.v)}", "task": {"t": {"config": {"l": [1], "m": {"n": true}}, "env": [{"E": "${NOMAD_X}"}], "kill_timeout": "5s"}}}}],
			"dynamic": {"constraint": {"for_each": ["p"], "content": {"attribute": "${constraint.value}"}}}}}}`,
		func(j *nomadish.Job) any {
			return []any{*j.Region, j.Meta, *j.TaskGroups[0].Count, task(j).Config, task(j).Env, *task(j).KillTimeout, j.Constraints[0].LTarget}
		},
		[]any{
			"A-${meta.x}",
			map[string]string{"k": "1"},
			1,
			map[string]any{"l": []any{int64(1)}, "m": []any{map[string]any{"n": true}}},
			map[string]string{"E": "${NOMAD_X}"},
			5 * time.Second, "p",
		},
	},
}

// A block or argument fills its field as Nomad fills it.
func TestBlocks(t *testing.T) {
	for name, tt := range blockCases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.get(parse(t, jobspec.Config{}, tt.body))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What the language does not allow is refused with the reason.
func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"misspelt argument":     {inGroup("cuont = 1"), `input.hcl:3,1-6: Unsupported argument; An argument named "cuont" is not expected here. Did you mean "count"?`},
		"unknown block":         {inGroup("tsk \"a\" {}"), `Unsupported block type; Blocks of type "tsk" are not expected here. Did you mean "task"?`},
		"unknown function":      {within(`region = uper("x")`), `There is no function named "uper". Did you mean "upper"?`},
		"env twice":             {inTask("env {}\nenv = {}"), "Duplicate env block"},
		"task scaling":          {inTask("scaling \"disk\" {}"), "Invalid scaling policy name"},
		"local twice":           {"locals {\n a = 1\n}\nlocals {\n a = 2\n}\n" + within(""), "Duplicate local"},
		"iterator":              {within("dynamic \"constraint\" {\n for_each = []\n iterator = a.b\n content {}\n}"), "Dynamic iterator must be a single variable name."},
		"no content":            {within("dynamic \"constraint\" {\n for_each = []\n}"), "Missing dynamic content block"},
		"two contents":          {within("dynamic \"constraint\" {\n for_each = []\n content {}\n content {}\n}"), "Extraneous dynamic content block"},
		"too few labels":        {within("dynamic \"group\" {\n for_each = []\n content {}\n}"), "Insufficient dynamic block labels"},
		"label is a list":       {within("dynamic \"group\" {\n for_each = [1]\n labels = [[]]\n content {}\n}"), "Invalid dynamic block label"},
		"null for_each":         {within("dynamic \"group\" {\n for_each = null\n labels = [1]\n content {}\n}"), "Cannot use a null value in for_each."},
		"config with a list":    {inTask("config {\n a = [1]\n a {}\n}"), `There is an argument "a" as well as a block of that name.`},
		"config with both":      {inTask("config {\n a = 1\n a {}\n}"), `There is an argument "a" as well as a block of that name.`},
		"division by zero":      {within("priority = 1 / 0"), "Number out of range"},
		"files over the API":    {within(`region = templatefile("a", {})`), "filesystem function disabled"},
		"home over the API":     {within(`region = pathexpand("~/a")`), "filesystem function disabled"},
		"working directory":     {within(`region = abspath("a")`), "filesystem function disabled"},
		"range of int8":         {within("affinity {\n weight = 500\n}"), "value must be a whole number, between -128 and 127"},
		"unknown top-level":     {"jobb \"x\" {}\n", `Unsupported block type; Blocks of type "jobb" are not expected here. Did you mean "job"?`},
		"infinite number":       {within("priority = pow(10, 400)"), "out of range"},
		"no identifier":         {"variable \"a b\" {\n default = 1\n}\n" + within(""), "Invalid variable name"},
		"bad template in JSON":  {`{"job": {"m": {"region": "${"}}}`, "Missing expression"},
		"duplicate key in JSON": {`{"job": {"m": {"meta": {"a": 1, "a": 2}}}}`, "Duplicate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jobspec.Parse(jobspec.Config{Body: []byte(tt.body)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			if kind := nomadish.KindOf(err); kind != nomadish.KindInvalid {
				t.Errorf("kind %v", kind)
			}
		})
	}
}
