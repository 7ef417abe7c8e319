/* The families of mean features: one file each, which says what it is in FEATURE lines of this list.
 *   FEATURE(name, exists, first tap)     expressions of `matrix`, `side` (taps a line of the kernel) and `rounds` (known)
 * A family is one function, NAME(add_name): acc[j] += weight * feature of lane j, modulo 2^32. */
FEATURE(neighbours, matrix, 1)
FEATURE(earlier_taps, !matrix, 1)
FEATURE(previous_tap, !matrix, 1)
FEATURE(tap_above, !matrix, side)
FEATURE(last_round, rounds > 0, 0)
FEATURE(round_before, rounds > 1, 0)
