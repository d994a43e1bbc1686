package jobspec_test

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/jobspec"
)

// within puts a group around an argument of a job.
func within(argument string) string {
	return "job \"m\" {\n" + argument + "\n  group \"g\" {\n    task \"t\" {\n      driver = \"d\"\n    }\n  }\n}\n"
}

func locals(first, next string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "locals {\n  l0 = %s\n", first)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "  l%d = %s\n", i, strings.ReplaceAll(next, "@", fmt.Sprintf("local.l%d", i-1)))
	}
	fmt.Fprintf(&b, "}\n%s", within(fmt.Sprintf("meta = { a = jsonencode(local.l%d) }", n)))
	return b.String()
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

var bombs = map[string]string{
	"join of join of for":   within(`region = join("", [for a in range(1024) : join("", [for b in range(1024) : join("", [for c in range(1024) : "xxxxxxxxxxxxxxxx"])])])`),
	"two loops":             within(`region = length([for a in range(1024) : [for b in range(1024) : a * b]])`),
	"many loops":            within(`region = ` + strings.Repeat("[for x in range(1024) : ", 50) + "1" + strings.Repeat("]", 50)),
	"loop in template":      within(`region = "%{for a in range(1024)}%{for b in range(1024)}%{for c in range(1024)}x%{endfor}%{endfor}%{endfor}"`),
	"loop that only tests":  within(`region = length([for a in range(1024) : 1 if length([for b in range(1024) : b if length([for c in range(1024) : c if false]) > 0]) > 0])`),
	"doubled strings":       locals(`"xxxxxxxxxxxxxxxx"`, `"${@}${@}"`, 40),
	"doubled lists":         locals(`["x"]`, `[@, @]`, 60),
	"doubled objects":       locals(`{ a = "x" }`, `{ a = @, b = @ }`, 60),
	"doubled concat":        locals(`["x"]`, `concat(@, @)`, 60),
	"doubled merge":         locals(`{ a = "x" }`, `merge({ for k, v in @ : "${k}1" => v }, { for k, v in @ : "${k}2" => v })`, 60),
	"squared numbers":       locals(`1e1000`, `@ * @`, 60),
	"huge exponent":         within(`region = "${1e999999999}"`),
	"huge exponent in text": within(`region = "${"1e999999999" * 1}"`),
	"huge exponent decoded": within(`region = "${jsondecode("1e999999999")}"`),
	"padded format":         within(`region = format("%0100000000d", 1)`),
	"padded formats":        within(`region = format("` + strings.Repeat("%0999999d", 1000) + `", 1)`),
	"indexed formats":       locals(`join("", [for a in range(1000) : "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"])`, `format("`+strings.Repeat("%[1]s", 5000)+`", @)`, 1),
	"list of formats":       within(`region = length(formatlist("%099999d", range(1024)))`),
	"grown by replace":      locals(`"xxxxxxxxxxxxxxxx"`, `replace(@, "x", @)`, 20),
	"grown by regex":        locals(`"xxxxxxxxxxxxxxxx"`, `replace(@, "/x/", @)`, 20),
	"long separator":        locals(`join("", [for a in range(1000) : "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"])`, `join(@, range(1024))`, 1),
	"indented":              within(`region = indent(10000000, "\n\n\n\n\n\n\n\n\n\n")`),
	"product":               within(`region = length(setproduct(range(1024), range(1024), range(1024)))`),
	"distinct":              within(`region = length(distinct(flatten([for a in range(100) : [for b in range(1024) : "${a}-${b}"]])))`),
	"pattern":               locals(`join("", [for a in range(1000) : "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"])`, `regexall("(x?){1000}y", @)`, 1),
	"nested pattern":        within(`region = regex("((((x{30}){30}){1}){1})(a{999})(b{999})(c{999})(d{999})` + strings.Repeat("(e{999})", 400) + `", "x")`),
	"bcrypt":                within(`region = bcrypt("x", 31)`),
	"many bcrypts":          within(`region = join("", [for a in range(1024) : bcrypt("x")])`),
	"yaml aliases":          locals(`"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"`, `yamldecode(@)`, 1),
	"large json":            locals(`join("", [for a in range(1000) : "[[],[],[],[],[],[],[],[],[]],"])`, `jsondecode("[${@}${@}${@}${@}${@}${@}${@}${@}[]]")`, 1),
	"dynamic blocks":        within(`dynamic "constraint" { for_each = range(1024)` + "\n content {\n attribute = join(\"\", [for a in range(1024) : \"x\"])\n }\n }"),
	"nested dynamic blocks": within("dynamic \"group\" {\n for_each = range(1024)\n labels = [group.value]\n content {\n dynamic \"task\" {\n for_each = range(1024)\n labels = [task.value]\n content {\n driver = \"d\"\n }\n }\n }\n }"),
	"splats":                locals(`range(1024)`, `[@, @][*][*]`, 30),
	"try hides nothing":     within(`region = try(join("", [for a in range(1024) : join("", [for b in range(1024) : "xxxxxxxxxxxxxxxx"])]), "x")`),
	"can hides nothing":     within(`region = can([for a in range(1024) : [for b in range(1024) : 1]]) ? "a" : "b"`),

	"literals in loops":     within(`region = length([for a in range(1024) : [` + strings.Repeat("1,", 9_000) + `] == [` + strings.Repeat("1,", 9_000) + `]])`),
	"objects in loops":      within(`region = length([for a in range(1024) : {` + many("a%d = 1,", 7_000) + `}])`),
	"templates in loops":    within(`region = length([for a in range(1024) : "` + strings.Repeat("${1}", 12_000) + `"])`),
	"joins in loops":        within(`region = length([for a in range(1024) : join("", [` + strings.Repeat("1,", 20_000) + `])])`),
	"branches in loops":     within(`region = length([for a in range(1024) : ` + strings.Repeat("true ? 1 : ", 4_000) + `1])`),
	"negations in loops":    within(`region = length([for a in range(1024) : ` + strings.Repeat("-", 4_000) + `1])`),
	"indexes in loops":      within(`region = length([for a in range(1024) : ` + strings.Repeat("[", 2_000) + "1" + strings.Repeat("]", 2_000) + strings.Repeat("[0+0]", 1_900) + `])`),
	"calls in loops":        within(`region = length([for a in range(1024) : ` + strings.Repeat("can(", 4_000) + "1" + strings.Repeat(")", 4_000) + `])`),
	"hidden calls in loops": within(`region = length([for a in range(1024) : ` + strings.Repeat("try(null.x, ", 4_000) + "1" + strings.Repeat(")", 4_000) + `])`),
	"converted elements":    within(`region = length(convert([` + strings.Repeat(`1,"a",`, 7_000) + `], list(string)))`),
	"errors in loops":       within(`region = length([for a in range(1024) : [for b in range(1024) : a.x]])`),
	"errors in calls":       within(`region = length([for a in range(1024) : [for b in range(1024) : upper([])]])`),
	"hidden errors":         within(`region = try([for a in range(1024) : try([for b in range(1024) : a.x], 1)], "x")`),

	"attributes":        within("meta {\n" + many(" a%d = 1\n", 80_000) + "}"),
	"parentheses":       within("region = " + strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000)),
	"brackets":          within("region = " + strings.Repeat("[", 400_000)),
	"templates":         within("region = " + strings.Repeat(`"${`, 100_000)),
	"blocks":            strings.Repeat("a {\n", 100_000),
	"negations":         within("region = " + strings.Repeat("!", 1_000_000) + "true"),
	"additions":         within("region = " + strings.Repeat("1+", 500_000) + "1"),
	"conditions":        within("region = " + strings.Repeat("a?b:", 250_000) + "1"),
	"calls":             within("region = " + strings.Repeat("f(", 300_000)),
	"indexes":           within("region = a" + strings.Repeat("[b]", 300_000)),
	"splat chain":       within("region = a" + strings.Repeat("[*]", 300_000)),
	"if directives":     within(`region = "` + strings.Repeat("%{if true}", 60_000) + `"`),
	"many deep lists":   within("meta = {\n" + strings.Repeat("a = "+strings.Repeat("[", 4000)+strings.Repeat("]", 4000)+"\n", 100) + "}"),
	"lines of a string": within("region = <<E\n" + strings.Repeat("x\n", 400_000) + "E"),
	"dollars":           within(`region = "` + strings.Repeat("$", 900_000) + `"`),
	"digits":            within("region = " + strings.Repeat("1", 900_000)),
	"digits in text":    within(`priority = "` + strings.Repeat("1", 900_000) + `"`),
	"digits converted":  within(`priority = tonumber("` + strings.Repeat("1", 900_000) + `")`),
	"digits added":      within(`priority = "` + strings.Repeat("1", 900_000) + `" + 1`),
	"digits negated":    within(`priority = -"` + strings.Repeat("1", 900_000) + `"`),
	"no tokens":         strings.Repeat("\x80", 1_000_000),
	"quotes":            strings.Repeat("'", 1_000_000),
	"too large":         strings.Repeat("#", 1<<20+1),
	"errors":            within(strings.Repeat("x\n", 60_000)),
	"unknown arguments": within(many("x%d = 1\n", 12_000)),
	"json arrays":       `{"job": ` + strings.Repeat("[", 500_000),
	"json objects":      `{"job": ` + strings.Repeat(`{"a":`, 150_000),
	"json values":       `{"job": {"m": {"meta": {"a": [` + strings.Repeat("1,", 400_000) + `1]}}}}`,
	"numbers as text":   within(`region = join("", [` + many("%d,", 30_000) + `])`),
	"mixed elements":    within(`region = join("", [` + strings.Repeat(`1,"a",`, 15_000) + `])`),
	"mixed argument":    within("datacenters = [" + strings.Repeat(`1,"a",`, 15_000) + "]"),
	"mixed branches":    within("region = length(true ? [" + strings.Repeat(`1,"a",`, 7_000) + "] : [" + strings.Repeat(`"a",1,`, 7_000) + "])"),
	"mixed coalesce":    within("region = length(coalescelist([" + strings.Repeat(`1,"a",`, 7_000) + "], [" + strings.Repeat(`"a",1,`, 7_000) + "]))"),
	"json digits":       `{"job": {"m": {"priority":   [ ` + strings.Repeat("1", 900_000) + `]}}}`,
	"decoded digits":    within(`region = jsondecode("[` + strings.Repeat("1", 900_000) + `]")[0]`),
	"digits as index":   within(`region = ["a"]["` + strings.Repeat("1", 900_000) + `"]`),
	"json template":     `{"job": {"m": {"region": "${` + strings.Repeat("(", 500_000) + `"}}}`,
	"json type":         `{"variable": {"a": {"type": "` + strings.Repeat("list(", 150_000) + `"}}, "job": {"m": {}}}`,
	"json loop":         `{"job": {"m": {"region": "${join(\"\", [for a in range(1024) : join(\"\", [for b in range(1024) : \"xxxxxxxxxxx\"])])}"}}}`,
	"default":           "variable \"a\" {\n default = [for a in [" + strings.Repeat("1,", 2000) + "] : [for b in [" + strings.Repeat("1,", 2000) + "] : 1]]\n}\n" + within(""),
}

// What a file costs is bounded: it is refused in about a second, without
// memory growing by more than 64 MiB, and the message says why.
func TestBombs(t *testing.T) {
	for name, body := range bombs {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			peak := growth(func() {
				_, err := jobspec.Parse(jobspec.Config{Body: []byte(body)})
				var fault *jobspec.Error
				if !errors.As(err, &fault) {
					t.Errorf("got %v, want a refusal", err)
				}
			})
			t.Logf("%s, %d MiB", time.Since(start).Round(time.Millisecond), peak>>20)
			if peak > 64<<20 {
				t.Errorf("memory grew by %d MiB", peak>>20)
			}
		})
	}
}

// The largest files that are read stay within the same bounds.
func TestLargest(t *testing.T) {
	for name, body := range map[string]string{
		"arguments": within("meta {\n" + many(" a%d = 1\n", 15_000) + "}"),
		"blocks":    within(many("constraint {\n attribute = \"${attr.a%d}\"\n value = \"b\"\n }\n", 3_000)),
		"elements":  within("meta = { a = join(\",\", [" + many("\"%d\",", 12_000) + "]) }"),
		"text":      within("meta = { a = \"" + strings.Repeat("x", 1_000_000) + "\" }"),
		"heredoc":   within("meta = {\n a = <<E\n" + strings.Repeat(strings.Repeat("x", 99)+"\n", 2_000) + "E\n}"),
		"nesting":   within("meta = { a = jsonencode(" + strings.Repeat("[", 4_000) + strings.Repeat("]", 4_000) + ") }"),
		"json":      `{"job": {"m": {"meta": {` + many(`"a%d": 1,`, 15_000) + `"z": 1}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			peak := growth(func() {
				if _, err := jobspec.Parse(jobspec.Config{Body: []byte(body)}); err != nil {
					t.Error(err)
				}
			})
			t.Logf("%s, %d MiB", time.Since(start).Round(time.Millisecond), peak>>20)
			if peak > 64<<20 {
				t.Errorf("memory grew by %d MiB", peak>>20)
			}
		})
	}
}

// growth returns by how much the memory in use grew at most while f ran. Garbage
// counts as little as the collector can be made to leave of it.
func growth(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	inUse := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before := inUse()
	done := make(chan struct{})
	peak := make(chan uint64)
	go func() {
		var most uint64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				peak <- most
				return
			case <-tick.C:
				now := inUse()
				most = max(most, now-min(before, now))
			}
		}
	}()
	f()
	close(done)
	return <-peak
}
