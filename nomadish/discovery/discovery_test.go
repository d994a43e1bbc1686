package discovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Questions are told from addresses, and of what they hold only who is asked is shown.
func TestQuestions(t *testing.T) {
	for entry, want := range map[string]string{
		"10.0.0.1":             "",
		"servers.example:4648": "",
		"[fd00::1]:4648":       "",
		"provider=aws tag_key=a secret_access_key=s3cret":   "provider=aws",
		"secret_access_key=s3cret provider=aws":             "provider=aws",
		`tag_value="a b" provider=gce`:                      "provider=gce",
		"exec=/bin/find-servers --token s3cret":             "exec=/bin/find-servers",
		`provider=aws "`:                                    "provider=",
		"  exec=":                                           "exec=",
		"provider=":                                         "provider=",
		"provider=azure provider=aws secret_access_key=two": "provider=",
	} {
		got := ""
		if Is(entry) {
			got = Name(entry)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", entry, got, want)
		}
	}
}

// Pairs are written as Nomad's users know them, and what is wrong is named.
func TestParse(t *testing.T) {
	for text, want := range map[string]any{
		"provider=aws":                              map[string]string{"provider": "aws"},
		"provider=aws  tag_key=role tag_value=":     map[string]string{"provider": "aws", "tag_key": "role", "tag_value": ""},
		`provider=gce tag_value="a b" zone=eu-.*`:   map[string]string{"provider": "gce", "tag_value": "a b", "zone": "eu-.*"},
		`provider=os "user name"="say \"\\\" = it"`: map[string]string{"provider": "os", "user name": `say "\" = it`},
		"provider=x key=a=b":                        map[string]string{"provider": "x", "key": "a=b"},
		"tag_key=a":                                 "provider=: no provider is named",
		"provider=aws region":                       `got "region" without a value`,
		"provider=aws region=a region=b":            "region: is set twice",
		`provider=aws region="a`:                    "region: a quote is not closed",
		`provider=aws region="a"b`:                  "region: after a quoted value a space has to follow",
		`provider=aws region=a"b`:                   "has to stand in double quotes",
		`provider=aws region="a\n"`:                 "a backslash has to stand before",
		"provider=a" + manyPairs():                  "more than 100",
	} {
		got, err := Parse(text)
		if message, wrong := want.(string); wrong {
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%.60q: %v, %v, want %s", text, got, err, message)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
}

func manyPairs() string {
	var b strings.Builder
	for i := range maxPairs {
		fmt.Fprintf(&b, " key%d=v", i)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add(`provider=os "user name"="say \"\\\" = it"`)
	f.Add("provider=aws tag_key=role")
	f.Fuzz(func(t *testing.T, text string) {
		pairs, err := Parse(text)
		if err != nil {
			return
		}
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
		var b strings.Builder
		for key, value := range pairs {
			fmt.Fprintf(&b, `"%s"="%s" `, quote.Replace(key), quote.Replace(value))
		}
		again, err := Parse(b.String())
		if diff := cmp.Diff(pairs, again); diff != "" || err != nil {
			t.Errorf("%q is not read again as it was written: %v %s", b.String(), err, diff)
		}
	})
}

// Programs print addresses; what they complain of is told, and they are bounded in size and time.
func TestPrograms(t *testing.T) {
	f := &Finder{Within: 20 * time.Second}
	for command, want := range map[string]any{
		"printf '10.0.0.1 \"10.0.0.2:4648\"\\n\\nfe80::1%%3'": []string{"10.0.0.1", "10.0.0.2:4648", "fe80::1%3"},
		"echo warned >&2; echo a | tr a b":                    []string{"b"},
		"true":                                                "exec=true: no server was found",
		"echo it is broken >&2; exit 3":                       "exec=echo: exit status 3: it is broken",
		"yes":                                                 "exec=yes: prints more than 65536 bytes",
		"seq 1001":                                            "exec=seq: 1001 servers were found, at most 1000 are allowed",
		"no-such-program-here":                                "not found",
		" ":                                                   "exec=: no program is named",
	} {
		got, err := f.Find(t.Context(), "exec="+command)
		if message, wrong := want.(string); wrong {
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%s: %v, %v, want %s", command, got, err, message)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", command, err, diff)
		}
	}
}

// A program that does not end is ended, with all that it has started.
func TestProgramsEnd(t *testing.T) {
	end := filepath.Join(t.TempDir(), "end")
	f := &Finder{Within: 100 * time.Millisecond}
	_, err := f.Find(t.Context(), "exec=(sleep 1000; echo it goes on) & echo $! >"+end+"; wait")
	if err == nil || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("it ended with %v", err)
	}
	text, err := os.ReadFile(end)
	if err != nil {
		t.Fatal(err)
	}
	for gone := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(gone) {
			t.Fatalf("what it started goes on: %s", stat)
		}
	}
}

// One provider that does not answer keeps nobody from what is known otherwise, and one that is not there is named.
func TestProviders(t *testing.T) {
	f := &Finder{
		Providers: []string{"one", "other", "slow"}, Within: 50 * time.Millisecond,
		Ask: func(ctx context.Context, question string) ([]string, error) {
			args, err := Parse(question)
			switch args["provider"] {
			case "one":
				return []string{"10.0.0.2", "10.0.0.3"}, err
			case "slow":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, errors.New("access is denied")
		},
	}
	got, err := f.Resolve(t.Context(), []string{"10.0.0.1:1", "provider=one key=secret", "provider=other key=secret", "provider=slow", "provider=none key=secret"})
	if diff := cmp.Diff([]string{"10.0.0.1:1", "10.0.0.2", "10.0.0.3"}, got); diff != "" {
		t.Error(diff)
	}
	want := "provider=other: access is denied\nprovider=slow: no answer within 50ms\nprovider=none: this program asks one, other and slow. " +
		"For others give with \"exec=COMMAND\" a program that prints the servers' addresses (\"exec=discover -q addrs provider=none ...\" " +
		"where go-discover is installed), or a name that all of them have"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if err := new(Finder).Check("provider=aws key=secret"); err == nil || !strings.Contains(err.Error(), "asks no providers") || strings.Contains(err.Error(), "secret") {
		t.Errorf("without providers: %v", err)
	}
}
