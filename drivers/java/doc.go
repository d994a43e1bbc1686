// Package java runs Java programs: jars, or classes of a class path, with the host's Java, in
// sandboxes as package exec does. It answers to driver = "java" with the options and meanings
// that job files have for it.
//
//	d, err := java.New(java.Config{}, runtime)
package java
