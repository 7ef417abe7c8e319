/* Any bytes as a message, as they are. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    fuzz_options(&in, &options);
    uint8_t *message = fuzz_copy(&in);
    (void)fuzz_decode(message, in.size, &options);
    free(message);
    return 0;
}
