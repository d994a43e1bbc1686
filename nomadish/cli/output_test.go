package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nomadish/nomadish/nomadish"
)

// TestPageIsTame: what others wrote keeps to its cell and commands no terminal.
func TestPageIsTame(t *testing.T) {
	p := &page{}
	p.title("Job %q", "a\x1b[2J")
	p.fields([2]string{"Name", "evil\x1b[31m\nname"}, [2]string{"Empty", ""})
	p.table([]string{"A", "B"}, [][]string{{"x\u202ey", "1\t2"}, {"", "long cell"}})
	want := "Job \"a\\x1b[2J\"\nName = evil[31m name\nA   B\nxy  1 2\n-   long cell\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

// FuzzTame: however text comes in pieces, the same comes out, and no control characters.
func FuzzTame(f *testing.F) {
	f.Add([]byte("plain \x1b[31mred\x1b[0m \xc2\x9bx é \xff \xe2\x82"), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		var whole, pieces bytes.Buffer
		if _, err := (&tame{w: &whole}).Write(text); err != nil {
			t.Fatal(err)
		}
		w := &tame{w: &pieces}
		for piece := range slices.Chunk(text, int(n)+1) {
			if got, err := w.Write(piece); err != nil || got != len(piece) {
				t.Fatalf("got %d, %v, want %d", got, err, len(piece))
			}
		}
		if pieces.String() != whole.String() {
			t.Errorf("in pieces %q, whole %q", pieces.String(), whole.String())
		}
		if out := whole.String(); !utf8.ValidString(out) || printable(out) != out {
			t.Errorf("got %q", out)
		}
	})
}

// TestLastLines: the tail of a file is its last lines, and what comes later follows whole.
func TestLastLines(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int64
		want string
	}{
		{"", 2, ""}, {"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc", 2, "b\nc"}, {"a\nb", 5, "a\nb"}, {"\n\n\n", 1, "\n"},
	} {
		if got := string(trimLines([]byte(tt.text), tt.n)); got != tt.want {
			t.Errorf("%q, %d: got %q, want %q", tt.text, tt.n, got, tt.want)
		}
		for size := 1; size <= 3; size++ {
			var out strings.Builder
			b := &backlog{w: &out, want: len(tt.text), lines: tt.n}
			for piece := range slices.Chunk([]byte(tt.text+"more"), size) {
				if _, err := b.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			if got := out.String(); got != tt.want+"more" {
				t.Errorf("%q in pieces of %d: got %q, want %q", tt.text, size, got, tt.want+"more")
			}
		}
	}
}

// TestPlacementProblems: why a group is not placed is said in words, the largest cause first.
func TestPlacementProblems(t *testing.T) {
	got := placementProblems(map[string]*nomadish.AllocationMetric{
		"b": {NodesInPool: 0, NodePool: "gpu"},
		"a": {
			NodesEvaluated: 5, NodesFiltered: 2, NodesExhausted: 3, CoalescedFailures: 1,
			ConstraintFiltered: map[string]int{"${attr.kernel.name} = windows": 2},
			DimensionExhausted: map[string]int{"cpu": 1, "memory": 2},
			NodesAvailable:     map[string]int{"dc1": 5, "dc2": 0},
		},
	})
	want := []string{
		`group "a": 2 allocations not placed`,
		`  * datacenter "dc2" has no node that is ready`,
		`  * constraint "${attr.kernel.name} = windows" leaves out 2 nodes`,
		`  * memory: not enough is free on 2 nodes`,
		`  * cpu: not enough is free on 1 node`,
		`  * 5 nodes considered, 2 left out by constraints, 3 without room`,
		`group "b": 1 allocation not placed`,
		`  * node pool "gpu" has no node that is ready`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
