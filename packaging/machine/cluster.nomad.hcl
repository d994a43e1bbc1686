job "everywhere" {
  group "web" {
    count = 2
    network {
      port "http" {
        static = 8080 # so each is on a node of its own
        to     = 8080
      }
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
