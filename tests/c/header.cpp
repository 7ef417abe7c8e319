// The public header is C++ too; it is compiled by tests/test_native.py as C99 and as C++ 11 with every warning.
#include "gradsz.h"

int main() {
    gsz_options options;
    gsz_options_init(&options);
    return gsz_within(1.0, 1.0, 0.0) == 1 ? gsz_selftest() : 1;
}
