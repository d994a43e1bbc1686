package codec_test

import (
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

func Example() {
	b := codec.Marshal(&nomadish.Port{Label: "http", Value: 80})
	var port nomadish.Port
	if err := codec.Unmarshal(b, &port); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(b), port.Label, port.Value)
	// Output: 9 http 80
}
