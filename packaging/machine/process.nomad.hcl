job "process" {
  group "sleep" {
    task "sleep" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["1000000"]
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
