// Package jpeg turns pictures into JPEG files: PNG, JPEG, WebP, BMP and TIFF, made
// upright and no larger than asked. It is the workload jpeg ([New], [Work]), one
// for pixels that are in memory already ([EncodeWork]), and a library
// ([Converter]).
//
//	load, err := jpeg.New(jpeg.Spec{Paths: paths, Root: "in", Output: "out",
//		Options: jpeg.Options{MaxWidth: 1920, MaxHeight: 1920}})
//
//	c, err := jpeg.NewConverter(jpeg.Options{})   // one for each goroutine
//	answer, err := c.ConvertFile(ctx, "photo.png", "photo.jpg")
//
// # What becomes of a picture
//
// Of several pages or frames the first is taken; animated WebP is refused. EXIF's
// orientation is applied (JPEG, PNG, TIFF, WebP) and all other metadata dropped but
// for a colour profile that suits the result. What is transparent shows the
// background. Gray stays gray, also from palettes. 16-bit samples are rounded to 8.
// CMYK (JPEG only) becomes RGB without colour management, so its profile is
// dropped. A size limit keeps the proportions: JPEG files are made smaller by the
// decoder, everything by averaging squares, then by Catmull-Rom.
//
// # Encoders
//
// With AVX-512 pictures are encoded by package baseline (avx512), whose files are
// libturbojpeg's. libturbojpeg is looked up on the system when first needed
// (libturbojpeg.so.0, versions 2 and 3); it decodes JPEG, and encodes on other
// processors. Without it jpegn encodes there, and the standard library decodes. It
// is called without cgo, but makes programs that import this package need the C
// library's loader.
//
// # Files
//
// A result has its input's name with .jpg in the place of the extension, beside it
// or below the output directory. It appears under that name when it is whole. An
// existing file is left alone, which counts as done (skip) or failed (refuse), and
// replaced with force; an input is never replaced by another input's result. Of
// two inputs with the same result the second fails. A result's content is on the
// disk before it has its name, and both are before the job's journal speaks of it:
// a power cut leaves no broken picture. A job that goes on after a crash skips, or
// under refuse fails on, the results that it had written and not yet noted; with
// force and without an output directory it encodes those few again.
//
// # Errors of items
//
//	not_an_image      not one of the five formats
//	broken_image      truncated or contradictory; the message says where
//	too_many_pixels   more than max_pixels, by the header; or 65535 on a side in the result
//	file_too_large    more than max_file_bytes
//	unreadable        the system refuses to read it, or it is no regular file
//	unwritable        the system refuses to write the result
//	exists            the result exists, and existing is refuse
//	same_output       another input has the same result
//	output_is_input   the result would replace an input
//	encode_failed     the encoder failed
//	bad_item          the item is not what the work expects
//
// None of them is retried.
//
// # Hostile files
//
// The header is read first, by bounds-checked code that is fuzzed, and nothing
// above the limits reaches a decoder: of a JPEG file the size (said once), the
// number of scans (500) and the end are checked, of a PNG file no text is
// unpacked and no profile beyond 16 MiB. Decoding takes at most 12 bytes a pixel.
//
// Nothing of weft is imported but cpuwork, cpuwork/batch, cpuwork/files with its
// durable, and baseline, below this package. Start reading at [Converter.Convert].
package jpeg
