package httpapi

import (
	"bytes"

	"github.com/nomadish/nomadish/nomadish"
)

// decodeJSON reads a body into v under the limits of nomadish.DecodeJSON. A body that says
// nothing is an error here: no route has a use for it.
func decodeJSON(body []byte, v any) error {
	switch string(bytes.TrimSpace(body)) {
	case "":
		return nomadish.Errorf(nomadish.KindInvalid, "request body is empty")
	case "null":
		return nomadish.Errorf(nomadish.KindInvalid, "request body is null")
	}
	return nomadish.DecodeJSON(body, v)
}
