package train

// Fault is why a job cannot run or go on, in words for its owner. Codes are
// those of the daemon's API: "bad_data", "nan_loss", "disk", "changed_data",
// "invalid".
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (f *Fault) Error() string { return f.Message }
