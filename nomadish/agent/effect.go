package agent

import "github.com/nomadish/nomadish/server/endpoint"

// WithoutEffect says what it means that a field of jobs is understood and not acted on yet. Its
// path is made of Go names, as in TaskGroups.Scaling. Empty: the field has its effect.
func WithoutEffect(path string) string { return endpoint.WithoutEffect(path) }
