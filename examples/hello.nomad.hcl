# A small web server in a container. Its image is an archive that examples/image builds
# from examples/web:
#
#   nomadish job run -var archive=$PWD/bin/hello.tar examples/hello.nomad.hcl

variable "archive" {
  type        = string
  description = "Absolute path of the image archive; the node's image_archives must allow it."
}

variable "count" {
  type    = number
  default = 1
}

job "hello" {
  type = "service"

  group "web" {
    count = var.count

    # The node chooses a port of its own, which leads to port 8080 in the container.
    network {
      port "http" {
        to = 8080
      }
    }

    restart {
      attempts = 3
      interval = "5m"
      delay    = "5s"
      mode     = "fail"
    }

    task "server" {
      driver = "docker"

      config {
        image = "nomadish.dev/hello:1"
        load  = var.archive
        ports = ["http"]
      }

      env {
        GREETING = "Hello"
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
