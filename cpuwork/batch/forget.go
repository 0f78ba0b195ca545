package batch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Forget removes what earlier lives of a job left in its directory, so that the
// next begins with its first item.
func Forget(dir string) error {
	var errs []error
	for _, name := range []string{SummaryFile, ResultsFile, timeFile} { // the summary first: it says that all is done
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
