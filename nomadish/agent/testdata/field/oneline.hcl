name = "n1"
datacenter = "dc1"
data_dir   = "/opt/nomad/data"
bind_addr = "0.0.0.0"
ports { http = 4646 rpc = 4647 serf = 4648 }
advertise { http = "10.0.0.1" rpc = "10.0.0.1" serf = "10.0.0.1" }
server { enabled = true bootstrap_expect = 1 }
client { enabled = false }
acl { enabled = false }
ui  { enabled = true }
vault { enabled = true, address = "http://10.0.0.2:8200" }
consul { address = "127.0.0.1:8500" }
telemetry { collection_interval = "1s"  prometheus_metrics = true  publish_allocation_metrics = true }
