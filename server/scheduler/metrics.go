package scheduler

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// metrics counts, while a group is placed, which nodes it can't use and why.
type metrics struct {
	field      *field
	pool       string
	evaluated  int
	filtered   int
	exhausted  int
	classOut   map[string]int
	constraint map[string]int
	classFull  map[string]int
	dimension  map[string]int
	shared     *nomadish.AllocationMetric // the picture as it is, until something changes
}

func (m *metrics) begin(f *field, job *nomadish.Job) {
	m.field = f
	m.pool = cmp.Or(nomadish.Val(job.NodePool), nomadish.NodePoolDefault)
	m.classOut, m.constraint = map[string]int{}, map[string]int{}
	m.classFull, m.dimension = map[string]int{}, map[string]int{}
}

// filter counts n more nodes, or less, that a constraint keeps out.
func (m *metrics) filter(class, reason string, n int) {
	m.filtered += n
	bump(m.constraint, reason, n)
	bump(m.classOut, class, n)
	m.shared = nil
}

// exhaust counts n more nodes, or less, that lack a resource.
func (m *metrics) exhaust(class, dimension string, n int) {
	m.exhausted += n
	bump(m.dimension, dimension, n)
	bump(m.classFull, class, n)
	m.shared = nil
}

func bump(counts map[string]int, key string, n int) {
	if key == "" {
		return
	}
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}

// picture returns the counts as an allocation or a failure shows them. Maps are shared by
// all pictures that are equal.
func (m *metrics) picture() *nomadish.AllocationMetric {
	if m.shared == nil {
		m.shared = &nomadish.AllocationMetric{
			NodesEvaluated: m.evaluated, NodesFiltered: m.filtered, NodesInPool: m.field.inPool, NodePool: m.pool,
			NodesAvailable: m.field.available, NodesExhausted: m.exhausted,
			ClassFiltered: some(m.classOut), ConstraintFiltered: some(m.constraint),
			ClassExhausted: some(m.classFull), DimensionExhausted: some(m.dimension),
		}
	}
	picture := *m.shared
	return &picture
}

// some copies counts; nil when there are none.
func some(counts map[string]int) map[string]int {
	if len(counts) == 0 {
		return nil
	}
	return maps.Clone(counts)
}

// failure returns the metrics of a placement that found no node.
func (r *ranking) failure() *nomadish.AllocationMetric {
	picture := r.metrics.picture()
	if len(r.properties) == 0 {
		return picture
	}
	full := metrics{constraint: map[string]int{}, classOut: map[string]int{}}
	maps.Copy(full.constraint, picture.ConstraintFiltered)
	maps.Copy(full.classOut, picture.ClassFiltered)
	for i := range r.nodes {
		if c := &r.nodes[i]; c.heap >= 0 {
			if t := r.freshTuple(c.tuple); t.full != "" {
				full.filter(r.p.draft.Site(c.slot).Node.NodeClass, t.full, 1)
			}
		}
	}
	picture.NodesFiltered += full.filtered
	picture.ConstraintFiltered, picture.ClassFiltered = some(full.constraint), some(full.classOut)
	return picture
}

// success returns the metrics of a placement on a node, with the scores of the best ones.
// It is asked for before the placement is booked.
func (r *ranking) success(chosen int32, score float64) *nomadish.AllocationMetric {
	picture := r.metrics.picture()
	picture.ScoreMetaData = make([]*nomadish.NodeScoreMeta, 0, topScores)
	picture.ScoreMetaData = append(picture.ScoreMetaData, r.scoreMeta(chosen, score))
	for _, i := range r.runnersUp(chosen) {
		s, _ := r.score(i, false)
		picture.ScoreMetaData = append(picture.ScoreMetaData, r.scoreMeta(i, s))
	}
	return picture
}

// runnersUp returns the best nodes but for the chosen one.
func (r *ranking) runnersUp(chosen int32) []int32 {
	var top []int32
	for h := range r.heaps {
		order := &r.heaps[h]
		if len(order.order) == 0 {
			continue
		}
		if s, open := r.score(order.order[0], false); !open || r.outdone(top, order.order[0], s) {
			continue
		}
		top = append(top, r.best(order, topScores)...)
		slices.SortFunc(top, func(i, j int32) int {
			a, _ := r.score(i, false)
			b, _ := r.score(j, false)
			return cmp.Or(cmp.Compare(b, a), cmp.Compare(r.nodes[j].hash, r.nodes[i].hash))
		})
		top = top[:min(len(top), topScores)]
	}
	top = slices.DeleteFunc(top, func(i int32) bool { return i == chosen })
	return top[:min(len(top), topScores-1)]
}

// outdone says that a node is behind all of a full list.
func (r *ranking) outdone(top []int32, i int32, score float64) bool {
	if len(top) < topScores {
		return false
	}
	last := top[len(top)-1]
	s, _ := r.score(last, false)
	return r.beats(last, s, i, score)
}

// scoreMeta returns a node's score and its parts. It is kept until the score changes.
func (r *ranking) scoreMeta(i int32, score float64) *nomadish.NodeScoreMeta {
	c := &r.nodes[i]
	if c.meta != nil && c.meta.NormScore == score {
		return c.meta
	}
	parts := map[string]float64{scoreBinpack: c.fit, scoreColocate: 0, scorePenalty: 0, scoreAffinity: c.affinity}
	if c.others > 0 {
		parts[scoreColocate] = colocateScore(int(c.others), r.count)
	}
	if r.spreads > 0 {
		parts[scoreSpread] = r.freshTuple(c.tuple).boost
	}
	if clean, _ := r.score(i, false); clean != score {
		parts[scorePenalty] = -1
	}
	c.meta = &nomadish.NodeScoreMeta{NodeID: r.p.draft.Site(c.slot).Node.ID, Scores: parts, NormScore: score}
	return c.meta
}
