package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Identity returns the ID and the secret of the node whose agent keeps its data in a directory. It
// makes them where there are none.
func Identity(dataDir string) (id string, secret nomadish.SecretText, err error) {
	dir := filepath.Join(dataDir, "client")
	// Tasks may run as other users, who must be able to reach their own directories.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", "", err
	}
	if id, err = identity(filepath.Join(dir, "client-id")); err != nil {
		return "", "", fmt.Errorf("identity: %w", err)
	}
	text, err := identity(filepath.Join(dir, "secret-id"))
	if err != nil {
		return "", "", fmt.Errorf("identity: %w", err)
	}
	return id, nomadish.SecretText(text), nil
}

// identity reads one of the node's two identities, its ID or its secret, from a file that
// only the agent can read, and makes it when there is none.
func identity(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		id := strings.TrimSpace(string(data))
		if _, err := nomadish.ParseID(id); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		return id, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := nomadish.NewID()
	return id, writeFile(path, id+"\n")
}

// writeFile writes a file whole or not at all, also when the machine stops in between.
func writeFile(path, content string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(content)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
