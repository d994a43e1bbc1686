package nomadish

import (
	"reflect"
	"strconv"
	"strings"
)

// FilePath turns the path of a fault (TaskGroups[0].Tasks[1].Resources.CPU) into that of
// the same thing in a job file: types and labels of blocks, and the name of an argument,
// joined by dots (group.web.task.api.resources.cpu). The second and further blocks of a
// type without labels have their number (service[1]). What has no place of its own in a
// job file is named by the block around it.
func (j *Job) FilePath(path string) string {
	var out []string
	v := reflect.ValueOf(j).Elem()
	for step := range strings.SplitSeq(path, ".") {
		name, index := splitIndex(step)
		if v.Kind() == reflect.Map { // of labelled blocks, or of free keys
			out = append(out, step)
			if v = v.MapIndex(reflect.ValueOf(step)); !v.IsValid() || v.Kind() != reflect.Pointer || v.IsNil() {
				break
			}
			v = v.Elem()
			continue
		}
		if v.Kind() != reflect.Struct {
			break
		}
		field, ok := v.Type().FieldByName(name)
		word, _, _ := strings.Cut(field.Tag.Get("hcl"), ",")
		if !ok || word == "" || strings.HasSuffix(field.Tag.Get("hcl"), ",label") {
			break
		}
		if word == "reserved_ports" {
			word = "port" // what has a static value is kept apart, but not in the file
		}
		v = v.FieldByName(name)
		if v.Kind() == reflect.Slice && index >= 0 && index < v.Len() {
			v = v.Index(index)
			word = blockName(word, v, index)
		}
		out = append(out, word)
		for v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return strings.Join(out, ".")
			}
			v = v.Elem()
		}
	}
	return strings.Join(out, ".")
}

// splitIndex splits "Tasks[1]" into "Tasks" and 1; the index is -1 if there is none.
func splitIndex(step string) (name string, index int) {
	name, rest, ok := strings.Cut(step, "[")
	if !ok {
		return name, -1
	}
	index, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
	if err != nil {
		return name, -1
	}
	return name, index
}

// blockName names one of a list of blocks by its label, else by its number.
func blockName(word string, v reflect.Value, index int) string {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if !strings.HasSuffix(v.Type().Field(i).Tag.Get("hcl"), ",label") {
				continue
			}
			switch label := v.Field(i).Interface().(type) {
			case string:
				return word + "." + label
			case *string:
				return word + "." + Val(label)
			}
		}
	}
	if index == 0 {
		return word
	}
	return word + "[" + strconv.Itoa(index) + "]"
}
