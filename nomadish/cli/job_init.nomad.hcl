# A cache in a container: one group of one task, with a port that the cluster chooses.
job "example" {
  # service: is to run for good; batch: is to run to its end.
  type = "service"

  # Allocations of a group run together on one node; groups may run on different nodes.
  group "cache" {
    # How many allocations are to run.
    count = 1

    network {
      # A port of the node that leads to the one in the container.
      port "db" {
        to = 6379
      }
    }

    # A task that fails is started again up to twice in half an hour; then the
    # allocation has failed, and is placed again, perhaps on another node.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    task "redis" {
      # What runs the task, and its options.
      driver = "docker"

      config {
        image = "docker.io/library/redis:7"
        ports = ["db"]
      }

      # What the task reserves: MHz, and MiB, which it can't pass.
      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
