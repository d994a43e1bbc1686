//go:build linux

package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakePlugin is a CNI plugin that writes down what it is called with, and has one address
// to give.
const fakePlugin = `#!/bin/sh
if [ "$1" = --version ]; then echo "CNI fake plugin v1.2.3" >&2; exit 0; fi
echo "$CNI_COMMAND $CNI_IFNAME $CNI_ARGS $(cat | grep -o '"portMappings":\[[^]]*\]')" >>%s
if [ "$CNI_COMMAND" = ADD ]; then
  cat <<END
{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"$CNI_NETNS"}],
 "ips":[{"address":"10.3.0.2/24","interface":0},{"address":"fd03::2/64","interface":0}],
 "dns":{"nameservers":["10.3.0.53"],"search":["cni.example"]}}
END
fi
`

// A network of the CNI configuration is offered if its plugins are there. They are called
// once per namespace with the ports and the job's arguments, again after a boot, and a last
// time when the network goes.
func TestCNI(t *testing.T) {
	w := newWorld(t)
	log := filepath.Join(w.dir, "calls")
	w.cfg.CNIPath, w.cfg.CNIConfigDir = []string{filepath.Join(w.dir, "none"), filepath.Join(w.dir, "bin")}, filepath.Join(w.dir, "net.d")
	for path, text := range map[string]string{
		"bin/fake":            fmt.Sprintf(fakePlugin, log),
		"bin/README":          "no plugin",
		"net.d/mine.conflist": `{"cniVersion":"1.0.0","name":"mine","plugins":[{"type":"fake","capabilities":{"portMappings":true}}]}`,
		"net.d/other.conf":    `{"cniVersion":"1.0.0","name":"other","type":"absent"}`,
		"net.d/broken.json":   `{`,
	} {
		mode := os.FileMode(0o644)
		if path == "bin/fake" {
			mode = 0o755
		}
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(w.dir, path)), 0o755))
		check(t, os.WriteFile(filepath.Join(w.dir, path), []byte(text), mode))
	}
	m, kill := w.manager()
	offer, err := m.Offer(t.Context())
	check(t, err)
	if d := cmp.Diff([]string{"bridge", "cni/mine"}, offer.Modes); d != "" {
		t.Errorf("modes: %s", d)
	}
	if d := cmp.Diff("1.2.3", offer.Attributes["plugins.cni.version.fake"]); d != "" {
		t.Errorf("version: %s", d)
	}
	req := Request{ID: "a", Mode: "cni/mine", Ports: []portOf{port("p", 8001, 80, hostIP)}, Args: map[string]string{"COLOR": "red"}}
	st, err := m.Setup(t.Context(), req)
	check(t, err)
	if st.Interface != "eth0" || st.Address != "10.3.0.2" || st.Address6 != "fd03::2" || !cmp.Equal(st.DNS.Servers, []string{"10.3.0.53"}) {
		t.Errorf("got %+v with name servers %v", st, st.DNS.Servers)
	}
	_, err = m.Setup(t.Context(), req)
	check(t, err)
	kill()
	m, kill = w.manager()
	again, err := m.Setup(t.Context(), req)
	check(t, err)
	if again.Address != st.Address || again.Renewed {
		t.Errorf("the next agent: got %+v", again)
	}
	kill()
	check(t, removeNamespace(st.Network.Namespace))
	m, _ = w.manager()
	if again, err = m.Setup(t.Context(), req); err != nil || !again.Renewed {
		t.Errorf("after a boot: got %+v, %v", again, err)
	}
	check(t, m.Release(t.Context(), "a"))
	text, err := os.ReadFile(log)
	check(t, err)
	var commands []string
	for line := range strings.Lines(string(text)) {
		command, rest, _ := strings.Cut(line, " ")
		commands = append(commands, command)
		for _, part := range []string{"eth0", "COLOR=red", `"containerport":80`, `"hostport":8001`, `"protocol":"udp"`} {
			if !strings.Contains(strings.ToLower(rest), strings.ToLower(part)) { // plugins in Go take any case
				t.Errorf("%s: %s is missing in %s", command, part, rest)
			}
		}
	}
	if d := cmp.Diff([]string{"ADD", "DEL", "ADD", "DEL"}, commands); d != "" {
		t.Errorf("plugins were called with: %s", d)
	}
}
