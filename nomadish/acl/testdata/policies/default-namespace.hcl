namespace { policy = "read" capabilities = ["submit-job"] }
"node" = { "policy" = "read" }
