/* Does this build, with the CPU set as it is, compute floats as the format needs? */
#include "fp.h"
#include "fpenv.h"

/* Were the product fused into the subtraction, the product's rounding error would come out instead of 0.
 * Each read of a volatile is new to the compiler, so that it cannot take the product from before. */
static int fuses(void) {
    volatile double a = 1.0 + 0x1p-30, b = 1.0 - 0x1p-31, product = a * b;
    volatile float c = 1.0f + 0x1p-12f, d = 1.0f - 0x1p-13f, short_product = c * d;
    return a * b - product != 0.0 || c * d - short_product != 0.0f;
}

static int rounds_to_nearest(void) {
    volatile double one = 1.0, up = 0x1.8p-53, down = 0x1p-54;
    volatile float onef = 1.0f, third = 3.0f;
    return one + up == 1.0 + 0x1p-52 && one + down == 1.0 && onef / third == 0x1.555556p-2f;
}

static int keeps_subnormals(void) {
    volatile double small = 0x1p-1022;
    volatile float smallf = 0x1p-126f;
    return small / 2 > 0 && smallf / 2 > 0;
}

int gsz_selftest(void) {
    gsz_fpenv saved = gsz_fp_enter();
    int ok = !fuses() && rounds_to_nearest() && keeps_subnormals();
    gsz_fp_leave(saved);
    return ok ? GSZ_OK : GSZ_E_SELFTEST;
}
