// Package httpapi serves the HTTP API: Nomad's /v1 routes, and a few internal ones between
// the agents of a cluster.
//
// All routes stand in one table (routes.go): method, path, permission, body limit, where
// the request has to run. A handler decodes, calls one method of a backend and returns a
// value. Everything that routes share is done once, around the handler, by [API.ServeHTTP]:
// credentials, permissions, forwarding, limits, query options, blocking, errors, encoding.
//
// What is behind the routes comes in as [Backends]: small interfaces, one per noun.
package httpapi
