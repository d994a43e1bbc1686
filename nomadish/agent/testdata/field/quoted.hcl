"data_dir" = "/var/nomad"
"log_level" = "DEBUG"
"client" = {
  "enabled" = "true"
  "servers" = ["10.0.0.1:4647", "10.0.0.2"]
  "options" = {
    "driver.raw_exec.enable" = 1
    "docker.cleanup.image" = false
  },
  "meta" = [{ "rack" = "r1" }, { "zone.name" = "z1" }]
}
"advertise" = { "http" = "" }
http_api_response_headers { Access-Control-Allow-Origin = "*" }
