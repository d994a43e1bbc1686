package jobspec_test

import (
	"errors"
	"fmt"

	"github.com/nomadish/nomadish/jobspec"
)

func Example() {
	text := `
variable "image" {}

job "web" {
  group "web" {
    task "server" {
      driver = "docker"
      config {
        image = var.image
        args  = ["-port", "${NOMAD_PORT_http}"]
      }
    }
  }
}
`
	job, err := jobspec.Parse(jobspec.Config{
		Path: "web.nomad.hcl",
		Body: []byte(text),
		Vars: []string{"image=nginx:1.29"},
	})
	var fault *jobspec.Error
	if errors.As(err, &fault) {
		fmt.Print(fault.Text())
		return
	}
	fmt.Println(*job.ID, job.TaskGroups[0].Tasks[0].Config)
	// Output: web map[args:[-port ${NOMAD_PORT_http}] image:nginx:1.29]
}
