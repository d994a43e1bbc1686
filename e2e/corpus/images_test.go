//go:build linux && corpus

package corpus

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/nomadish/nomadish/examples/image/archive"
)

// shape is what an image says of how it is run.
type shape struct {
	entrypoint []string
	cmd        []string
	user       string
	workDir    string
	expose     []string
	volumes    []string
	programs   []string // beside those that each stand-in has
}

// shapes are the forms of images whose form matters to a job, by repository. The stand-in
// for any other runs /app.
var shapes = map[string]shape{
	"alpine":                         {cmd: []string{"/bin/sh"}},
	"busybox":                        {cmd: []string{"sh"}},
	"ubuntu":                         {cmd: []string{"/bin/bash"}},
	"nginx":                          {entrypoint: []string{"/docker-entrypoint.sh"}, cmd: []string{"nginx", "-g", "daemon off;"}, expose: []string{"80/tcp"}},
	"redis":                          {entrypoint: []string{"docker-entrypoint.sh"}, cmd: []string{"redis-server"}, workDir: "/data", expose: []string{"6379/tcp"}, volumes: []string{"/data"}, programs: []string{"redis-benchmark"}},
	"registry":                       {entrypoint: []string{"/entrypoint.sh"}, cmd: []string{"/etc/docker/registry/config.yml"}, expose: []string{"5000/tcp"}, volumes: []string{"/var/lib/registry"}},
	"traefik":                        {entrypoint: []string{"/entrypoint.sh"}, cmd: []string{"traefik"}, expose: []string{"80/tcp"}},
	"guybarros/hashibo":              {cmd: []string{"nginx", "-g", "daemon off;"}, expose: []string{"80/tcp"}},
	"phatbrasil/hashibo":             {cmd: []string{"nginx", "-g", "daemon off;"}, expose: []string{"80/tcp"}},
	"osixia/phpldapadmin":            {entrypoint: []string{"/container/tool/run"}, expose: []string{"443/tcp", "80/tcp"}, volumes: []string{"/var/www/phpldapadmin"}},
	"osixia/keepalived":              {entrypoint: []string{"/container/tool/run"}},
	"hashicorp/http-echo":            {entrypoint: []string{"/http-echo"}, user: "65534", expose: []string{"5678/tcp"}},
	"hashicorp/demo-webapp-lb-guide": {cmd: []string{"/bin/demo-webapp"}},
	"mnomitch/hello_world_server":    {entrypoint: []string{"docker-entrypoint.sh"}, cmd: []string{"node", "server.js"}, workDir: "/usr/src/app", expose: []string{"8000/tcp"}},
	"instantlinux/nut-upsd":          {entrypoint: []string{"/usr/local/bin/entrypoint.sh"}, expose: []string{"3493/tcp"}},
	"hon95/prometheus-nut-exporter":  {entrypoint: []string{"dotnet", "App.dll"}, user: "nobody", workDir: "/app", expose: []string{"9995/tcp"}},
	"linuxserver/sabnzbd":            {entrypoint: []string{"/init"}, expose: []string{"8080/tcp"}, volumes: []string{"/config"}},
	"linuxserver/prowlarr":           {entrypoint: []string{"/init"}, expose: []string{"9696/tcp"}, volumes: []string{"/config"}},
	"home-assistant/home-assistant":  {entrypoint: []string{"/init"}, workDir: "/config"},
	"jellyfin/jellyfin":              {entrypoint: []string{"/jellyfin/jellyfin"}, expose: []string{"8096/tcp"}, volumes: []string{"/cache", "/config"}},
	"perrymanuk/kideo":               {cmd: []string{"uvicorn", "app:app"}, workDir: "/app", expose: []string{"8000/tcp"}, volumes: []string{"/data"}},
	"shopify/toxiproxy":              {entrypoint: []string{"/toxiproxy"}, cmd: []string{"-host=0.0.0.0"}, user: "65534", expose: []string{"8474/tcp"}},
	"traefik/whoami":                 {entrypoint: []string{"/whoami"}, expose: []string{"80/tcp"}},
	"prom/prometheus":                {entrypoint: []string{"/bin/prometheus"}, cmd: []string{"--config.file=/etc/prometheus/prometheus.yml"}, user: "nobody", workDir: "/prometheus", expose: []string{"9090/tcp"}, volumes: []string{"/prometheus"}},
	"prom/blackbox-exporter":         {entrypoint: []string{"/bin/blackbox_exporter"}, cmd: []string{"--config.file=/etc/blackbox_exporter/config.yml"}, expose: []string{"9115/tcp"}},
	"grafana/grafana":                {entrypoint: []string{"/run.sh"}, user: "472", workDir: "/usr/share/grafana", expose: []string{"3000/tcp"}},
	"coredns/coredns":                {entrypoint: []string{"/coredns"}, user: "65532", expose: []string{"53/tcp", "53/udp"}},
	"chrislusf/seaweedfs":            {entrypoint: []string{"/entrypoint.sh"}, workDir: "/data", volumes: []string{"/data"}},
	"hashicorpnomad/counter-api":     {cmd: []string{"/counter-api"}, expose: []string{"9001/tcp"}},
}

// imageEnv is a variable of every stand-in: the repository whose place it takes.
const imageEnv = "STANDIN_FOR"

// repository splits an image's name into a path without registry and a tag.
func repository(image string) (repo, tag string) {
	repo, tag = strings.TrimPrefix(image, "https://"), "latest"
	if i := strings.LastIndex(repo, ":"); i > strings.LastIndex(repo, "/") {
		repo, tag = repo[:i], repo[i+1:]
	}
	if first, rest, ok := strings.Cut(repo, "/"); ok && strings.ContainsAny(first, ".:") {
		repo = rest
	}
	return repo, tag
}

// shapeOf returns the form of the image of that name.
func shapeOf(image string) shape {
	repo, _ := repository(image)
	if s, ok := shapes[repo]; ok {
		return s
	}
	return shape{cmd: []string{"/app"}}
}

// build makes a stand-in: all its programs are scripts of one.
func (s shape) build(program []byte, repo string) (v1.Image, error) {
	files := []archive.File{
		{Path: "/standin", Mode: 0o755, Content: program},
		{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{Path: "/etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnobody:x:65534:\n")},
	}
	programs := append([]string{"sh", "bash", "ash", "sleep", "tail", "touch", "hostname"}, s.programs...)
	for _, list := range [][]string{s.entrypoint, s.cmd} {
		if len(list) > 0 {
			programs = append(programs, list[0])
		}
	}
	made := map[string]bool{}
	for _, p := range programs {
		if !path.IsAbs(p) {
			p = "/bin/" + p
		}
		if !made[p] {
			made[p] = true
			files = append(files, archive.File{Path: p, Mode: 0o755, Content: []byte("#!/standin\n")})
		}
	}
	return archive.Build(files, archive.Config{
		Entrypoint: s.entrypoint, Cmd: s.cmd, User: s.user, WorkingDir: s.workDir,
		ExposedPorts: set(s.expose), Volumes: set(s.volumes),
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", imageEnv + "=" + repo},
	})
}

func set(list []string) map[string]struct{} {
	out := map[string]struct{}{}
	for _, v := range list {
		out[v] = struct{}{}
	}
	return out
}

// mirror serves stand-ins for images, and returns a directory of settings that has agents
// ask it in place of every registry.
func mirror(ctx context.Context, t *testing.T, program string, images []string) (settings string) {
	t.Helper()
	text, err := os.ReadFile(program)
	must(t, err)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	for _, image := range images {
		repo, tag := repository(image)
		stored := repo
		if !strings.Contains(repo, "/") {
			stored = "library/" + repo
		}
		img, err := shapeOf(image).build(text, repo)
		must(t, err)
		ref, err := name.ParseReference(server.Listener.Addr().String()+"/"+stored+":"+tag, name.Insecure)
		must(t, err)
		must(t, remote.Write(ref, img, remote.WithContext(ctx)))
	}
	settings = filepath.Join(t.TempDir(), "registries")
	must(t, os.MkdirAll(filepath.Join(settings, "_default"), 0o755))
	hosts := fmt.Sprintf("server = %[1]q\n[host.%[1]q]\n  capabilities = [\"pull\", \"resolve\"]\n", server.URL)
	must(t, os.WriteFile(filepath.Join(settings, "_default", "hosts.toml"), []byte(hosts), 0o644))
	return settings
}
