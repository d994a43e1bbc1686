package output

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/drivers"
)

// scheme marks an address of ours: containerd passes a task's outputs on as such.
const scheme = "nomadish-output"

// Address writes an output as a URL.
func Address(o drivers.Output) string {
	u := url.URL{Scheme: scheme, Path: "/", RawQuery: url.Values{
		"root": {o.Root}, "path": {o.Path},
		"files": {strconv.Itoa(o.MaxFiles)}, "size": {strconv.FormatInt(o.MaxFileSize, 10)},
	}.Encode()}
	return u.String()
}

// Parse reads what Address wrote. ok is false when the text is no address of an output.
func Parse(text string) (o drivers.Output, ok bool, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != scheme {
		return o, false, nil // a path, or containerd's own
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return o, true, fmt.Errorf("address of an output: %w", err)
	}
	o.Root, o.Path = q.Get("root"), q.Get("path")
	if o.MaxFiles, err = strconv.Atoi(q.Get("files")); err != nil {
		return o, true, fmt.Errorf("address of an output: files: %w", err)
	}
	if o.MaxFileSize, err = strconv.ParseInt(q.Get("size"), 10, 64); err != nil {
		return o, true, fmt.Errorf("address of an output: size: %w", err)
	}
	return o, true, nil
}
