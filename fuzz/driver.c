/* main() of a fuzz target without libFuzzer: runs every file named, and every file of a folder named.
 *   fuzz_frame fuzz/corpus/fuzz_frame */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned long runs;

static void run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, room = 0, got;
    if (f == NULL) {
        perror(path);
        exit(2);
    }
    do {
        if (size == room) data = (uint8_t *)realloc(data, room = 2 * room + 4096);
        if (data == NULL) abort();
        size += got = fread(data + size, 1, room - size, f);
    } while (got > 0);
    fclose(f);
    uint8_t *exact = (uint8_t *)malloc(size ? size : 1);
    if (exact == NULL) abort();
    memcpy(exact, data, size);
    free(data);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    runs++;
}

static void run_folder(const char *path) {
    DIR *d = opendir(path);
    struct dirent *e;
    if (d == NULL) {
        perror(path);
        exit(2);
    }
    while ((e = readdir(d)) != NULL) {
        char name[4096];
        if (e->d_name[0] == '.') continue;
        if (snprintf(name, sizeof name, "%s/%s", path, e->d_name) >= (int)sizeof name) continue;
        run_file(name);
    }
    closedir(d);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct stat s;
        if (stat(argv[i], &s) != 0) {
            perror(argv[i]);
            return 2;
        }
        if (S_ISDIR(s.st_mode)) run_folder(argv[i]);
        else run_file(argv[i]);
    }
    printf("%s: %lu inputs\n", argv[0], runs);
    return runs == 0;
}
