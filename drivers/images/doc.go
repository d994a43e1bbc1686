// Package images keeps the images that tasks run from: it finds them in registries and
// archives, downloads each once for however many tasks ask, tells how far a download is,
// and removes what no task has used for a while.
//
//	store, err := images.New(images.Config{Delay: 3 * time.Minute}, engine)
//	go store.Run(ctx)
//	img, release, err := store.Get(ctx, images.Request{Ref: "docker.io/library/redis:7"})
//	defer release()
//
// An image is here as a record of containerd with its content, unpacked. A container names
// the record that it was made from; the store keeps what containers name, what is being
// started (until release), and what users put here themselves. All it has to know after a
// restart is in labels of the records.
package images
