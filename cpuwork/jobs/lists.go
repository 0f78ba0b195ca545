package jobs

import (
	"fmt"
	"strings"

	"weft/cpuwork/files"
)

// A list is a file that names a job's items.
type list struct {
	at   string // JSON pointer in the task
	path string
}

// listsAt are those of a task whose pointer to them is at.
func listsAt(at string, paths []string) []list {
	all := make([]list, len(paths))
	for i, path := range paths {
		all[i] = list{fmt.Sprintf("%s/%d", at, i), path}
	}
	return all
}

// listsOf are those of a specification of files. If the files are lists themselves,
// they are among them; a directory of such is not looked into.
func listsOf(s *files.Spec, themselves bool) []list {
	all := listsAt("/files/lists", resolved(s, s.Lists))
	if themselves && !s.Recursive {
		all = append(all, listsAt("/files/paths", resolved(s, s.Paths))...)
	}
	return all
}

func resolved(s *files.Spec, names []files.Name) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = s.Resolve(string(name))
	}
	return paths
}

// CheckLists says which of the job's lists cannot be read now. It is for who takes
// in a job that may begin at once: other jobs, or people, may yet write the lists of
// one that waits for them. A job that has begun reads its own copies. An error is a
// [*SpecError].
func (p *Plan) CheckLists() error {
	for _, l := range p.task.lists {
		f, problem := files.Open(l.path)
		if problem != nil {
			return &SpecError{"/task" + l.at,
				fmt.Sprintf("the list %s cannot be opened: %s", l.path, strings.TrimPrefix(problem.Message, "open: ")),
				"a file that is there; or --after the job that writes it"}
		}
		_ = f.Close() // only opened
	}
	return nil
}
