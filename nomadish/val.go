package nomadish

// Val returns what p points to, or the zero value of T when p is nil. It is
// how fields of an admitted job are read: after [Job.Admit] nil means zero.
func Val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// Ptr returns a pointer to a copy of v, to fill the optional fields of a job.
func Ptr[T any](v T) *T {
	return &v
}
