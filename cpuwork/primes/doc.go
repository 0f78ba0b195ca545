// Package primes says which 64-bit numbers are prime, with certainty.
//
//	primes.Is(112272535095293) // true
//	load, err := primes.New(primes.Spec{Numbers: []string{"97", "1000000..2000000"}})
//
// # Method
//
// A number is divided by the primes below 100 and then put to the strong
// pseudoprime test of Miller and Rabin for the first 2 to 12 prime bases: as many as
// are proven to leave no pseudoprime below it (see miller.go for the proofs). All
// arithmetic is Montgomery's, without a division.
//
// Ranges are cut into spans of 131,072 numbers, aligned to multiples of that; each
// is an item, so that a range of any length takes no memory. Spans are sieved
// (Eratosthenes); what the sieving primes leave of spans too high for a whole
// sieve is tested one by one.
//
// # First
//
// With Spec.First the job is to end at the first prime found. A number that is not
// prime is then an item that fails with code not_prime, so that it is a prime that
// succeeds first and the pool, told cpuwork.StopOnSuccess, stops all others; the
// summary does not count them as failures.
//
// # Errors of items
//
//	bad_number   neither a number nor a range of two
//	too_large    above 18446744073709551615
//	negative     below zero
//	empty_range  a range that ends before it begins
//	not_prime    with First only
//
// and those of package files for lists that cannot be read.
//
// # Where to start reading
//
// miller.go and sieve.go for the mathematics, load.go for the job.
package primes
