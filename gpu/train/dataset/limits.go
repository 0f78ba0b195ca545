package dataset

import "math"

// limits bounds what one data set may take; all of them stand in
// [defaultLimits]. Tests and fuzzing lower them.
type limits struct {
	fileBytes    int64 // of a file as it lies on disk
	decodedBytes int64 // of a file unpacked
	packRatio    int64 // unpacked bytes per packed byte, beyond packGrace
	packGrace    int64 // unpacked bytes that are allowed at any ratio
	rows         int64
	columns      int64 // elements of one row
	cells        int64 // rows times columns
	recordBytes  int64 // one CSV record; an open quote would else swallow the file
	classes      int
	nameBytes    int   // a class or column name
	headerBytes  int64 // NPY header, Parquet page header
	footerBytes  int64 // Parquet footer
	pageBytes    int64 // one Parquet page unpacked
}

// defaultLimits returns the limits of real loads: 2^31 cells are 8 GiB.
func defaultLimits() limits {
	return limits{
		fileBytes:    32 << 30,
		decodedBytes: 8 << 30,
		packRatio:    300,
		packGrace:    256 << 20,
		rows:         math.MaxInt32,
		columns:      1 << 20,
		cells:        1 << 31,
		recordBytes:  64 << 20,
		classes:      1 << 20,
		nameBytes:    1 << 10,
		headerBytes:  1 << 20,
		footerBytes:  16 << 20,
		pageBytes:    256 << 20,
	}
}

// maxRank bounds the dimensions of an array in a file, rows included.
const maxRank = 4

// checkEvery is how many rows pass between two looks at the context.
const checkEvery = 4096

// cellsFit checks rows of width elements against the limits.
func (l limits) cellsFit(name string, rows, width int64) error {
	switch {
	case width > l.columns:
		return bad("use fewer columns or a smaller shape",
			"%s: %d numbers a row, the limit is %d", name, width, l.columns)
	case rows > l.rows || width > 0 && rows > l.cells/width:
		return bad("train on a part of the rows",
			"%s: %d rows of %d numbers are over the limit of %d numbers", name, rows, width, l.cells)
	}
	return nil
}

// product multiplies shape's dimensions; ok is false when one is negative or
// the product passes 2^62.
func product(shape []int64) (n int64, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > (1<<62)/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// size returns the elements of a sample shape that is known to be small.
func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
