package scheduler

import (
	"math"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// The parts of a node's score, by the names that users see.
const (
	scoreBinpack  = "binpack"
	scoreColocate = "job-anti-affinity"
	scorePenalty  = "node-reschedule-penalty"
	scoreAffinity = "node-affinity"
	scoreSpread   = "allocation-spread"
)

// maxFit is the best score of a placement by itself, before it is normalised.
const maxFit = 18

// fitScore is BestFit v3 of Google's 2012 paper on cluster packing: 20 - (10^cpu + 10^memory)
// of the shares that stay free, from 0 for an empty node to 1 for a full one. With spread it
// is turned round.
func fitScore(total, after capacity.Amount, spread bool) float64 {
	left := pow10(share(after.CPU, total.CPU)) + pow10(share(after.Memory, total.Memory))
	score := 20 - left
	if spread {
		score = left - 2
	}
	return min(max(score, 0), maxFit) / maxFit
}

func share(free, total int64) float64 {
	if total <= 0 {
		return 0
	}
	return float64(free) / float64(total)
}

func pow10(x float64) float64 { return math.Exp(x * math.Ln10) }

// colocateScore speaks against a node that runs others of the group already.
func colocateScore(others, wanted int) float64 {
	return -float64(others+1) / float64(max(wanted, 1))
}

// affinities is a group's wishes about nodes, compiled.
type affinities struct {
	checks  []check
	weights []float64
	sum     float64 // of the weights' absolute values
}

func newAffinities(job *nomadish.Job, tg *nomadish.TaskGroup) *affinities {
	a := &affinities{}
	a.add(job.Affinities)
	a.add(tg.Affinities)
	for _, t := range tg.Tasks {
		a.add(t.Affinities)
	}
	return a
}

func (a *affinities) add(list []*nomadish.Affinity) {
	for _, f := range list {
		if f == nil {
			continue
		}
		weight := float64(nomadish.Val(f.Weight))
		a.checks = append(a.checks, compile(&nomadish.Constraint{LTarget: f.LTarget, RTarget: f.RTarget, Operand: f.Operand}))
		a.weights = append(a.weights, weight)
		a.sum += math.Abs(weight)
	}
}

// score is the weighted share of the affinities that a node meets, from -1 to 1.
func (a *affinities) score(n *nomadish.Node) float64 {
	if a.sum == 0 {
		return 0
	}
	met := 0.0
	for i := range a.checks {
		if a.checks[i].holds(n) {
			met += a.weights[i]
		}
	}
	return met / a.sum
}
