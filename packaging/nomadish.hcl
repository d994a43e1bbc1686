# One server and one client node on this machine, open on loopback alone. Tasks run as
# containers; nothing else has to be installed. See "nomadish agent -help" for the keys.
data_dir  = "/var/lib/nomadish"
bind_addr = "127.0.0.1"

server {
  enabled          = true
  bootstrap_expect = 1
}

client {
  enabled = true
}
