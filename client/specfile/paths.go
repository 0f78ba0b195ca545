package specfile

import "path/filepath"

// filePaths are the places of a specification that name files.
var filePaths = [][]string{
	{"data", "csv"}, {"data", "parquet"},
	{"data", "idx", "images"}, {"data", "idx", "labels"},
	{"data", "npy", "x"}, {"data", "npy", "y"},
	{"data", "safetensors", "file"},
	{"init", "from"},
}

// Absolute makes every file name of the specification absolute, relative to
// dir: the daemon works elsewhere.
func (n *Node) Absolute(dir string) {
	for _, path := range filePaths {
		at := n.Get(path...)
		if name := at.String(); name != "" && !filepath.IsAbs(name) {
			at.Text = jsonString(filepath.Join(dir, name))
		}
	}
}
