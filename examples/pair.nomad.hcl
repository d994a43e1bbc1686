# Two tasks in one network: a web server in a container, and a shell beside it that sees the
# machine's programs read-only and reaches the server on localhost.
#
#   nomadish job run -var archive=$PWD/bin/run/hello.tar examples/pair.nomad.hcl

variable "archive" {
  type        = string
  description = "Absolute path of the image archive; the node's image_archives must allow it."
}

variable "greeting" {
  type    = string
  default = "Hello"
}

job "pair" {
  group "pair" {
    network {
      mode = "bridge"
      port "http" {
        to = 8080
      }
    }

    task "server" {
      driver = "docker"
      config {
        image = "nomadish.dev/hello:1"
        load  = var.archive
      }
      env {
        GREETING = var.greeting
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }

    task "shell" {
      driver = "exec"
      config {
        command = "/bin/bash"
        args    = ["-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 1; done"]
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
