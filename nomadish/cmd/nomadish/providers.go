package main

import (
	"github.com/hashicorp/go-discover/provider/aws"
	"github.com/hashicorp/go-discover/provider/azure"
	"github.com/hashicorp/go-discover/provider/digitalocean"
	"github.com/hashicorp/go-discover/provider/gce"
	"github.com/hashicorp/go-discover/provider/linode"
	"github.com/hashicorp/go-discover/provider/mdns"
	openstack "github.com/hashicorp/go-discover/provider/os"

	"github.com/nomadish/nomadish/nomadish/discovery"
)

// providers are the cloud providers that retry_join may name.
func providers() map[string]discovery.Provider {
	return map[string]discovery.Provider{
		"aws": &aws.Provider{}, "azure": &azure.Provider{}, "digitalocean": &digitalocean.Provider{}, "gce": &gce.Provider{},
		"linode": &linode.Provider{}, "mdns": &mdns.Provider{}, "os": &openstack.Provider{},
	}
}
