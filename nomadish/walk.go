package nomadish

import "iter"

// TaskGroup returns the group of that name, or nil.
func (j *Job) TaskGroup(name string) *TaskGroup {
	for _, g := range j.TaskGroups {
		if g != nil && Val(g.Name) == name {
			return g
		}
	}
	return nil
}

// Task returns the task of that name, or nil.
func (g *TaskGroup) Task(name string) *Task {
	for _, t := range g.Tasks {
		if t != nil && t.Name == name {
			return t
		}
	}
	return nil
}

// AllTasks yields every task with its group.
func (j *Job) AllTasks() iter.Seq2[*TaskGroup, *Task] {
	return func(yield func(*TaskGroup, *Task) bool) {
		for _, g := range j.TaskGroups {
			for _, t := range g.Tasks {
				if !yield(g, t) {
					return
				}
			}
		}
	}
}

// eachService calls f with the services of all groups and their tasks.
func (j *Job) eachService(f func(*Service)) {
	for _, g := range j.TaskGroups {
		for _, s := range g.Services {
			f(s)
		}
		for _, t := range g.Tasks {
			for _, s := range t.Services {
				f(s)
			}
		}
	}
}
