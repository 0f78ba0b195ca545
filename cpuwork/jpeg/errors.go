package jpeg

// The codes of items that failed.
const (
	CodeNotImage   = "not_an_image"
	CodeBroken     = "broken_image"
	CodePixels     = "too_many_pixels"
	CodeFileSize   = "file_too_large"
	CodeUnreadable = "unreadable"
	CodeUnwritable = "unwritable"
	CodeExists     = "exists"
	CodeSameOutput = "same_output"
	CodeIsInput    = "output_is_input"
	CodeEncode     = "encode_failed"
	CodeItem       = "bad_item"
)
