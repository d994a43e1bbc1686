job "container" {
  group "web" {
    network {
      port "http" { to = 8080 }
    }
    task "web" {
      driver = "docker"
      config {
        image = "nomadish.dev/hello:1"
        load  = "/opt/hello.tar"
        ports = ["http"]
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
