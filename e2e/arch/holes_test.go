package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// holes are what docs/security-tests.md has a row for at least.
const holes = `
CVE-2019-14803 CVE-2020-27195 CVE-2022-24683 CVE-2024-1329 CVE-2024-6717 CVE-2024-7625 CVE-2026-6959 CVE-2026-7474 CVE-2026-8052 CVE-2026-14896
CVE-2019-12741 CVE-2019-14802 CVE-2023-3299 CVE-2024-12678 CVE-2025-1296
CVE-2019-12618 CVE-2019-15928 CVE-2020-28348 CVE-2021-3283 CVE-2021-32575 CVE-2021-43415 CVE-2026-14891
CVE-2022-30324 CVE-2024-3817 CVE-2024-6257 CVE-2026-4660 CVE-2026-53488
SEC-A1 SEC-A2 SEC-A3 SEC-A4 SEC-D1 SEC-D2 SEC-D3 SEC-D4 SEC-G1 SEC-G2 SEC-G3 SEC-G4 SEC-I1 SEC-I2 SEC-I3
CVE-2020-7218 CVE-2022-24685 CVE-2023-0821 CVE-2020-10944
CVE-2020-7956 CVE-2021-37218 SEC-C1 SEC-C2 SEC-C3
SEC-E1 SEC-E2 SEC-E3 SEC-H1 SEC-H2 SEC-H3`

// namedTest is a test in the document: its package and its name.
var namedTest = regexp.MustCompile(`(\w[\w/]*) ((?:Test|Fuzz)\w+)`)

// Every published hole of a class that concerns what we ship has its negative test by name, or
// the document says which feature is not there.
func TestHolesHaveTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs/security-tests.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Contains(line, "---") || strings.TrimSpace(cells[3]) == "" || strings.TrimSpace(cells[1]) == "hole" {
			continue
		}
		for id := range strings.SplitSeq(cells[1], ",") {
			listed[strings.TrimSpace(id)] = true
		}
		tests := namedTest.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 && !strings.Contains(cells[3], "not there: ") {
			t.Errorf("no test for %s", cells[1])
		}
		for _, m := range tests {
			if !hasTest(t, m[1], m[2]) {
				t.Errorf("%s: package %s has no %s", strings.TrimSpace(cells[1]), m[1], m[2])
			}
		}
	}
	for id := range strings.FieldsSeq(holes) {
		if !listed[id] {
			t.Errorf("docs/security-tests.md has no row for %s", id)
		}
	}
}

// hasTest says whether a package declares a test.
func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
