namespace "*" {
  policy = "scale"
}

namespace "default" {
  capabilities = ["read-job", "list-jobs", "submit-recommendation"]
  variables {
    path "nomad-autoscaler/lock" { capabilities = ["write"] }
  }
}

operator { policy = "read" }
node { policy = "write" }
