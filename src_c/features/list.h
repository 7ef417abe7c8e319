/* The families of mean features: one file each, which says what it is in FEATURE lines of this list.
 *   FEATURE(name, matrices, first tap)     it exists for matrices (1) or kernels (0), from this tap on; 0 = one line of taps
 * A family is one function, NAME(add_name): acc[j] += weight * feature of lane j, modulo 2^32. */
FEATURE(neighbours, 1, 1)
FEATURE(earlier_taps, 0, 1)
FEATURE(previous_tap, 0, 1)
FEATURE(tap_above, 0, GSZ_SECOND_LINE)
