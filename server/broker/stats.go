package broker

// Stats counts evaluations by where they are.
type Stats struct {
	Ready     int // to be handed out now, failed ones included
	Failed    int // of those ready: delivered too often
	Delivered int
	Delayed   int
	Waiting   int // for another of their job
}

// Stats returns how many evaluations are where.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s Stats
	for kind, q := range b.ready {
		s.Ready += q.len()
		if kind == Failed {
			s.Failed += q.len()
		}
	}
	for _, e := range b.timers.entries {
		if e.token != "" {
			s.Delivered++
		} else {
			s.Delayed++
		}
	}
	s.Waiting = len(b.entries) - s.Ready - s.Delivered - s.Delayed
	return s
}
