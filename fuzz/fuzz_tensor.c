/* Any bytes as a message whose checksums are right: what is damaged reaches the stages behind them. */
#include "fuzz.h"
#include "reseal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    fuzz_options(&in, &options);
    uint8_t *message = fuzz_copy(&in);
    reseal(message, in.size);
    (void)fuzz_decode(message, in.size, &options);
    free(message);
    return 0;
}
