package drivers

// Output says where what a task writes is kept: in files PATH.0, PATH.1, … of which the newest
// are kept. Nothing is kept of the zero Output. Package output writes the files.
type Output struct {
	Root        string // the directory that the files never leave
	Path        string // of the files below Root, without the number: alloc/logs/web.stdout
	MaxFiles    int    // default 10
	MaxFileSize int64  // bytes; default 10 MiB
}
