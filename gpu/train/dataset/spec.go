package dataset

// Source says which kind of data set a specification names.
type Source string

// The sources of rows: shipped or made sets by their own names, files by format.
const (
	SourceCSV         Source = "csv"
	SourceIDX         Source = "idx"
	SourceNPY         Source = "npy"
	SourceParquet     Source = "parquet"
	SourceSafetensors Source = "safetensors"
	// Shipped with weft.
	SourceDigits       Source = "digits"
	SourceIris         Source = "iris"
	SourceWine         Source = "wine"
	SourceBreastCancer Source = "breast-cancer"
	SourceDiabetes     Source = "diabetes"
	// Made from a seed.
	SourceMoons   Source = "moons"
	SourceSpirals Source = "spirals"
	SourceBlobs   Source = "blobs"
	SourceTeacher Source = "teacher"
)

// Spec says which rows a job trains on and how they are prepared. Two jobs
// with equal Spec and Task on unchanged files share one loaded set.
type Spec struct {
	Source      Source
	File        string // csv, parquet, safetensors: absolute path
	X, Y        string // idx: image and label files; npy: files; safetensors: tensor names
	Target      string // csv, parquet: column name or index; "": the last column
	Shape       []int  // reshapes each row, e.g. [1,8,8]; nil: as the source has it
	Standardize bool
	Split       Split
	Make        Make // made sources only
}

// Split cuts the rows into training, validation and test parts; each part
// keeps the rows' original order.
type Split struct {
	Validation float64 // fraction of all rows, [0, 1)
	Test       float64
	Seed       uint64
	Stratify   bool // equal class shares; ignored for regression
}

// Make holds the parameters of the made sources.
type Make struct {
	Rows     int
	Features int // blobs, teacher
	Classes  int // blobs, spirals, teacher (0: teacher regresses)
	Noise    float64
	Seed     uint64
}

// Task is what a loss asks of the target column.
type Task string

// The tasks; cross_entropy classifies, bce_with_logits is binary, the others regress.
const (
	Classification Task = "classification" // Set.Labels
	Binary         Task = "binary"         // Set.Targets, values 0 and 1; two string classes are mapped
	Regression     Task = "regression"     // Set.Targets
)
