# A program of the machine's own, in a sandbox, on several nodes: it needs no image.
#
#   nomadish job run examples/clock.nomad.hcl

job "clock" {
  spread {
    attribute = "${node.unique.name}"
  }

  group "clock" {
    count = 4

    task "clock" {
      driver = "exec"
      config {
        command = "/bin/bash"
        args    = ["-c", "trap 'exit 0' TERM; while :; do date; sleep 1; done"]
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
