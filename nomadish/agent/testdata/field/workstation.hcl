# everything on one machine
data_dir             = "/var/lib/nomad"
disable_update_check = true
enable_syslog        = true
log_level            = "WARN"
log_file             = "/var/log/nomad/"
plugin_dir           = "/usr/lib/nomad/plugins"
leave_on_interrupt   = true

server {
  enabled          = true
  bootstrap_expect = "1"
  default_scheduler_config {
    scheduler_algorithm             = "spread"
    memory_oversubscription_enabled = true
    preemption_config { service_scheduler_enabled = true }
  }
  server_join { retry_join = ["provider=aws tag_key=role tag_value=nomad"] }
}

client {
  enabled           = true
  network_interface = "lo"
  cpu_total_compute = 2000
  cni_path          = "/opt/cni/bin"
  template { disable_file_sandbox = true }
  reserved { cpu = 500 memory = 512 disk = 1024 reserved_ports = "22,80,8500-8600" }
  host_network "private" { cidr = "10.0.0.0/8" reserved_ports = "22" }
  host_volume "pg" {
    path      = "/opt/pg"
    read_only = false
  }
  options {
    "driver.raw_exec.enable" = "1" // still found in many
    user.denylist            = "root,Administrator"
  }
  drain_on_shutdown { deadline = "1m" force = true }
}

plugin "raw_exec" { config { enabled = true } }

plugin "docker" {
  config {
    endpoint         = "unix:///var/run/docker.sock"
    allow_privileged = true
    extra_labels     = ["job_name", "task_name"]
    volumes { enabled = true selinuxlabel = "z" }
    gc {
      image       = true
      image_delay = "3m"
      dangling_containers { enabled = true period = "5m" }
    }
    auth { config = "/root/.docker/config.json" helper = "ecr-login" }
    logging { type = "json-file" config { max-size = "10m" max-file = 3 } }
  }
}

autopilot { cleanup_dead_servers = true last_contact_threshold = "200ms" }
limits { http_max_conns_per_client = 0 rpc_max_conns_per_client = 200 }
audit { enabled = false }
telemetry {
  statsd_address = "127.0.0.1:8125"
  disable_hostname = true
}
