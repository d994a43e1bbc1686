# Everything that the language has.
namespace "default" {
  policy       = "write"
  capabilities = ["alloc-node-exec", "sentinel-override"]

  variables {
    path "project/*" {
      capabilities = ["read", "write", "list", "destroy"]
    }
    path "system/*" { capabilities = ["deny"] }
  }
}
namespace "*-web" { policy = "read" }
namespace "prod" { policy = "deny" }
namespace "scaled" { policy = "scale" }
node_pool "gpu-*" {
  policy       = "read"
  capabilities = ["write"]
}
host_volume "prod-*" { policy = "deny" }
host_volume "*" { capabilities = ["mount-readonly"] }
agent { policy = "read" }
node { policy = "write" }
operator {
  policy       = "read"
  capabilities = ["snapshot-save"]
}
quota { policy = "read" }
plugin { policy = "list" }
