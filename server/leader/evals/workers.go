package evals

// Workers is how many workers schedule side by side while this server leads.
func (e *Evals) Workers() int { return e.cfg.Workers }
