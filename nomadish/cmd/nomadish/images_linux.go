package main

import (
	"log/slog"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/images"
)

// imageConfig reads what the container driver's plugin block says of images.
func imageConfig(o drivers.Options, logger *slog.Logger) images.Config {
	cfg := images.Config{
		Hosts: o.String("registry_config_path"), PlainHTTP: o.Strings("plain_http"),
		Insecure: o.Strings("insecure_registries"), CA: o.String("registry_ca"),
		Idle: o.Duration("pull_activity_timeout"), MaxPulls: int(o.Int("max_pulls")),
		Archives: o.Strings("image_archives"), MaxArchive: o.Int("max_archive_bytes"), MaxImage: o.Int("max_image_bytes"),
		Logger: logger,
	}
	for _, auth := range o.Blocks("auth") {
		cfg.Auth, cfg.Helper = auth.String("config"), auth.String("helper")
	}
	for _, gc := range o.Blocks("gc") {
		cfg.KeepUnused = gc.Has("image") && !gc.Bool("image")
		if cfg.Delay = gc.Duration("image_delay"); gc.Has("image_delay") && cfg.Delay == 0 {
			cfg.Delay = time.Nanosecond // zero is the default's place
		}
	}
	return cfg
}
