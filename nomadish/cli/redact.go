package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// hidden stands for what is left out.
const hidden = "<redacted>"

// secretName are names of what is a secret whoever set it.
var secretName = regexp.MustCompile(`(?i)secret|token|passw|credential|private|apikey|api_key|accesskey|access_key|encrypt|^auth$|jwt|signed`)

// authored are the parts of jobs and nodes into which people write what they like, secrets too:
// all text within them is left out.
var authored = map[string]bool{
	"Env": true, "Meta": true, "meta": true, "Config": true, "EmbeddedTmpl": true, "Payload": true, "GetterSource": true, "GetterOptions": true, "GetterHeaders": true,
	"Source": true, "Variables": true, "VariableFlags": true, "Environment": true, "CommandArgs": true, "Args": true, "Command": true, "Header": true, "Body": true,
	"MetaOptional": true, "MetaRequired": true, "CanaryMeta": true,
}

// plainOptions are the options of drivers that say what runs and hold no secrets of their own.
var plainOptions = map[string]bool{"image": true, "command": true, "network_mode": true, "ports": true, "work_dir": true, "hostname": true}

// redact returns JSON without what may be a secret.
func redact(body []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("leave out secrets: %w", err)
	}
	return json.Marshal(clean(v))
}

// clean returns a decoded value without what may be a secret.
func clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if secretName.MatchString(name) || authored[name] {
				v[name] = blank(inner)
			} else {
				v[name] = clean(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = clean(v[i])
		}
	}
	return v
}

// blank leaves out all text of a value; its shape, numbers and a few harmless options stay.
func blank(v any) any {
	switch v := v.(type) {
	case string:
		if v == "" {
			return v
		}
		return hidden
	case map[string]any:
		for name, inner := range v {
			if !plainOptions[name] {
				v[name] = blank(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = blank(v[i])
		}
	}
	return v
}
