package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func operatorAPICommand() command {
	return command{
		words: "operator api", args: "PATH", summary: "Make a request to the HTTP API",
		help: `  PATH is that of a route, with a query if need be. Address, token, namespace, region and
  certificates are those of other commands. Answers that go on, such as events, are printed as
  they come.`,
		example: "  nomadish operator api /v1/jobs\n  nomadish operator api '/v1/event/stream?topic=Job'\n  nomadish operator api -d @job.json /v1/jobs\n  echo '{\"Prefix\":\"we\",\"Context\":\"jobs\"}' | nomadish operator api -d - /v1/search",
		exits: `  0   the answer's status is 2xx
  1   it is another one, which standard error tells, or there was no answer
  64  the command line is wrong`,
		run: runOperatorAPI,
	}
}

func runOperatorAPI(ctx context.Context, c *call) error {
	method, data, headers := "", "", many{}
	c.remoteFlags()
	c.flags.StringVar(&method, "X", "", "`method`; default GET, or PUT with -d")
	c.flags.StringVar(&data, "d", "", "`body` of the request: text, @file, or - for standard input")
	c.flags.Var(&headers, "H", "`header` of the request, as Name: value; may be repeated")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	header := http.Header{}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return c.misused("-H %q: want Name: value", h)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	body, err := c.requestBody(data)
	if err != nil {
		return err
	}
	if body != nil {
		defer body.Close()
	}
	if method == "" {
		method = http.MethodGet
		if body != nil {
			method = http.MethodPut
		}
	}
	var in io.Reader
	if body != nil {
		in = body
	}
	resp, err := client.Raw(ctx, strings.ToUpper(method), "/"+strings.TrimPrefix(c.args[0], "/"), header, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(c.content(), resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the answer's status is %s", resp.Status)
	}
	return nil
}

// requestBody opens what -d names; nil is no body.
func (c *call) requestBody(data string) (io.ReadCloser, error) {
	switch {
	case data == "":
		return nil, nil
	case data == "-":
		return io.NopCloser(c.Stdin), nil
	case data[0] == '@':
		return os.Open(data[1:])
	}
	return io.NopCloser(strings.NewReader(data)), nil
}
