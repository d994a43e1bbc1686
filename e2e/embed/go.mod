module github.com/nomadish/nomadish/e2e/embed

go 1.26

require github.com/nomadish/nomadish v0.0.0

replace github.com/nomadish/nomadish => ../..
