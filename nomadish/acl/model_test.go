package acl

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

var (
	cases = flag.Int("cases", 20_000, "random policies and requests to compare")
	seed  = flag.Uint64("seed", 0, "of the random policies; 0: a new one")
)

// What follows to the next line is a second evaluator, written from Nomad's documentation of
// its policies alone, without regard to speed. It shares nothing with the compiled one.

type modelRule struct {
	Block        string // namespace, node_pool, host_volume, agent, node, operator, quota, plugin
	Label        string
	Policy       string
	Capabilities []string
	Paths        []modelRule
}

var modelPolicies = map[string]map[string]string{
	"namespace": {
		"read":  "list-jobs parse-job read-job csi-list-volume csi-read-volume list-scaling-policies read-scaling-policy read-job-scaling host-volume-read",
		"write": "list-jobs parse-job read-job submit-job dispatch-job read-logs read-fs alloc-exec alloc-lifecycle csi-write-volume csi-mount-volume list-scaling-policies read-scaling-policy read-job-scaling scale-job host-volume-write submit-recommendation",
		"scale": "list-scaling-policies read-scaling-policy read-job-scaling scale-job",
	},
	"node_pool":   {"read": "read", "write": "read write delete"},
	"host_volume": {"read": "mount-readonly", "write": "mount-readonly mount-readwrite"},
	"agent":       {"read": "read", "write": "read write"},
	"node":        {"read": "read", "write": "read write"},
	"quota":       {"read": "read", "write": "read write"},
	"operator":    {"read": "read license-read", "write": "read write license-read"},
	"plugin":      {"list": "list", "read": "list read", "write": "list read write"},
}

// modelIncludes says what comes with a capability besides itself.
var modelIncludes = map[string]string{
	"namespace:list-jobs":  "csi-list-volume",
	"namespace:read-job":   "csi-read-volume csi-list-volume read-job-scaling read-services",
	"namespace:submit-job": "parse-job scale-job register-job revert-job deregister-job purge-job evaluate-job plan-job tag-job-version stable-job fail-deployment pause-deployment promote-deployment unblock-deployment cancel-deployment set-alloc-health-deployment force-periodic-job gc-allocation pause-allocation delete-service-registration",
	"namespace:purge-job":  "deregister-job", "namespace:dispatch-job": "force-periodic-job",
	"namespace:read-fs": "read-logs", "namespace:alloc-exec": "alloc-port-forward",
	"namespace:csi-write-volume": "csi-read-volume csi-list-volume", "namespace:csi-mount-volume": "csi-read-volume csi-list-volume",
	"namespace:csi-read-volume": "csi-list-volume", "namespace:host-volume-write": "host-volume-create host-volume-register host-volume-read host-volume-delete",
	"variables:read": "list", "variables:write": "list", "host_volume:mount-readwrite": "mount-readonly",
	"operator:read": "license-read", "operator:write": "read license-read",
}

// modelGives says whether rules of one label give a capability, and whether they deny all.
func modelGives(rules []modelRule, subject, capability string) (gives, denies bool) {
	for _, r := range rules {
		if r.Policy == "deny" || slices.Contains(r.Capabilities, "deny") {
			return false, true
		}
		for _, c := range append(strings.Fields(modelPolicies[subject][r.Policy]), r.Capabilities...) {
			if c == capability || slices.Contains(strings.Fields(modelIncludes[subject+":"+c]), capability) {
				gives = true
			}
		}
	}
	return gives, false
}

// modelMatch says whether a glob stands for a name, trying every length of each star.
func modelMatch(glob, name string) bool {
	if glob == "" {
		return name == ""
	}
	if glob[0] != '*' {
		return name != "" && name[0] == glob[0] && modelMatch(glob[1:], name[1:])
	}
	for i := range len(name) + 1 {
		if modelMatch(glob[1:], name[i:]) {
			return true
		}
	}
	return false
}

// modelChosen returns the rules of the one label that decides about a name.
func modelChosen(rules []modelRule, name string) []modelRule {
	best, bestDistance, found := "", 0, false
	denies := func(label string) bool { _, d := modelGives(labelled(rules, label), "", ""); return d }
	for _, r := range rules {
		distance := len(name) - len(strings.ReplaceAll(r.Label, "*", ""))
		switch {
		case r.Label == name && !strings.Contains(name, "*"):
			return labelled(rules, name)
		case !strings.Contains(r.Label, "*") || !modelMatch(r.Label, name):
		case !found, distance < bestDistance, distance == bestDistance && (denies(r.Label) && !denies(best) || denies(r.Label) == denies(best) && r.Label < best):
			best, bestDistance, found = r.Label, distance, true
		}
	}
	if !found {
		return nil
	}
	return labelled(rules, best)
}

func labelled(rules []modelRule, label string) (out []modelRule) {
	for _, r := range rules {
		if r.Label == label {
			out = append(out, r)
		}
	}
	return out
}

// modelAllows is the whole of the second evaluator.
func modelAllows(rules []modelRule, permission, namespace, name string) bool {
	subject, capability, _ := strings.Cut(permission, ":")
	block := subject
	if subject == "variables" {
		block = "namespace"
	}
	var about []modelRule
	for _, r := range rules {
		if r.Block == block {
			about = append(about, r)
		}
	}
	asked := name
	if block == "namespace" {
		asked = namespace
	}
	switch block {
	case "namespace", "node_pool", "host_volume":
	default:
		gives, _ := modelGives(about, subject, capability)
		return gives
	}
	if block == "namespace" && asked == "*" || block != "namespace" && asked == "" { // any at all
		return slices.ContainsFunc(about, func(r modelRule) bool {
			return modelInside(labelled(about, r.Label), subject, capability, name)
		})
	}
	return asked != "" && modelInside(modelChosen(about, asked), subject, capability, name)
}

func modelInside(chosen []modelRule, subject, capability, name string) bool {
	gives, denies := modelGives(chosen, subject, capability)
	if subject != "variables" || denies {
		return gives
	}
	var paths []modelRule
	for _, r := range chosen {
		paths = append(paths, r.Paths...)
	}
	if name != "" {
		gives, _ = modelGives(modelChosen(paths, name), subject, capability)
		return gives
	}
	return slices.ContainsFunc(paths, func(r modelRule) bool {
		gives, _ := modelGives(labelled(paths, r.Label), subject, capability)
		return gives
	})
}

// The line. Below are the random policies.

// pick returns one of several, or nothing.
func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

var (
	someNames = []string{"web", "web-admin", "web-a", "a", "prod-web", "default", "dev", "a.b_c"}
	someGlobs = []string{"*", "web*", "*-web", "web-*", "*a*", "w*b", "*e*d*", "prod-*", "web-admin*", "**", "*b"}
	somePaths = []string{"a", "nomad/jobs/web", "nomad/jobs/web-admin", "x/y/z", "nomad/jobs", "*", "nomad/*", "nomad/jobs/web*", "*/z", "x/*/z"}
)

func randomRules(r *rand.Rand) []modelRule {
	var rules []modelRule
	for range r.IntN(5) {
		rule := modelRule{Block: pick(r, "namespace", "namespace", "namespace", "node_pool", "host_volume", "agent", "node", "operator", "quota", "plugin")}
		s := subjects[rule.Block]
		if rule.Block == "namespace" || rule.Block == "node_pool" || rule.Block == "host_volume" {
			rule.Label = pick(r, append(someNames, someGlobs...)...)
		} else if slices.ContainsFunc(rules, func(o modelRule) bool { return o.Block == rule.Block }) {
			continue // one of each is allowed
		}
		if r.IntN(2) == 0 || !s.listed {
			rule.Policy = pick(r, sortedKeys(s.policies)...)
		}
		if s.listed && (rule.Policy == "" || r.IntN(4) == 0) {
			rule.Capabilities = randomCapabilities(r, s)
		}
		if rule.Block == "namespace" {
			for range r.IntN(3) {
				rule.Paths = append(rule.Paths, modelRule{Label: pick(r, somePaths...), Capabilities: randomCapabilities(r, subjects[aVariable])})
			}
		}
		rules = append(rules, rule)
	}
	return rules
}

func randomCapabilities(r *rand.Rand, s *subject) []string {
	out := []string{}
	for range r.IntN(4) {
		out = append(out, pick(r, sortedKeys(s.capabilities)...))
	}
	if r.IntN(12) == 0 {
		out = append(out, deny)
	}
	return out
}

func sortedKeys[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// source writes rules down as a policy, in HCL or in JSON.
func source(r *rand.Rand, rules []modelRule) string {
	if r.IntN(3) > 0 {
		var b strings.Builder
		for _, rule := range rules {
			b.WriteString(rule.Block)
			if rule.Label != "" {
				fmt.Fprintf(&b, " %q", rule.Label)
			}
			b.WriteString(" {\n" + settings(rule))
			if len(rule.Paths) > 0 {
				b.WriteString("  variables {\n")
				for _, path := range rule.Paths {
					fmt.Fprintf(&b, "    path %q {\n%s    }\n", path.Label, settings(path))
				}
				b.WriteString("  }\n")
			}
			b.WriteString("}\n")
		}
		return b.String()
	}
	doc := map[string]any{}
	for _, rule := range rules {
		body := object(rule)
		if len(rule.Paths) > 0 {
			var paths []any
			for _, path := range rule.Paths {
				paths = append(paths, map[string]any{path.Label: object(path)})
			}
			body["variables"] = map[string]any{"path": paths}
		}
		if rule.Label == "" {
			doc[rule.Block] = body
			continue
		}
		earlier, _ := doc[rule.Block].([]any)
		doc[rule.Block] = append(earlier, map[string]any{rule.Label: body})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func settings(r modelRule) (text string) {
	if r.Policy != "" {
		text += fmt.Sprintf("    policy = %q\n", r.Policy)
	}
	if r.Capabilities != nil {
		list, _ := json.Marshal(r.Capabilities)
		text += fmt.Sprintf("    capabilities = %s\n", list)
	}
	return text
}

func object(r modelRule) map[string]any {
	out := map[string]any{}
	if r.Policy != "" {
		out["policy"] = r.Policy
	}
	if r.Capabilities != nil {
		out["capabilities"] = r.Capabilities
	}
	return out
}

// The compiled evaluator and the one above agree about random policies and requests.
func TestModel(t *testing.T) {
	start := *seed
	if start == 0 {
		start = rand.Uint64()
	}
	t.Logf("seed %d", start)
	r := rand.New(rand.NewPCG(start, 0)) //nolint:gosec // a seed reproduces the cases
	all := Permissions()
	differences, allowed := 0, 0
	for n := range *cases {
		var rules []modelRule
		var policies []*Policy
		for range 1 + r.IntN(3) {
			some := randomRules(r)
			text := source(r, some)
			p, err := Parse(text)
			if err != nil {
				t.Fatalf("case %d: %v\n%s", n, err, text)
			}
			rules, policies = append(rules, some...), append(policies, p)
		}
		a := Compile(policies...)
		permission := pick(r, all...)
		if permission == nomadish.PermNamespaceAny {
			continue // it is the sum of the others
		}
		namespace := pick(r, append(someNames, "*")...)
		name := pick(r, "", pick(r, someNames...), pick(r, "nomad/jobs/web", "nomad/jobs/web-admin", "x/y/z", "nomad/jobs", "a"))
		got, want := a.Allows(permission, namespace, name), modelAllows(rules, string(permission), namespace, name)
		if want {
			allowed++
		}
		if got != want {
			if differences++; differences <= 3 {
				text, _ := json.MarshalIndent(rules, "", " ")
				t.Errorf("case %d: %s in %q of %q: got %t, want %t by\n%s", n, permission, namespace, name, got, want, text)
			}
		}
	}
	t.Logf("%d cases, %d allowed, %d differences", *cases, allowed, differences)
	if allowed < *cases/50 {
		t.Errorf("only %d of %d requests were allowed: they test little", allowed, *cases)
	}
}
