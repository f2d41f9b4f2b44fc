/* Runs a target once for each file that is named: replay TARGET FILE... */
#include "fuzz.h"

#define LLVMFuzzerTestOneInput run_log
#define walk walk_log
#include "fuzz_log.c"
#undef walk
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput run_batch
#include "fuzz_batch.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput run_node
#include "fuzz_node.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput run_table
#include "fuzz_table.c"
#undef LLVMFuzzerTestOneInput

static void run(const char *target, const uint8_t *data, size_t size) {
    if (strcmp(target, "log") == 0) run_log(data, size);
    else if (strcmp(target, "batch") == 0) run_batch(data, size);
    else if (strcmp(target, "node") == 0) run_node(data, size);
    else if (strcmp(target, "table") == 0) run_table(data, size);
    else REQUIRE(!"the name of a target");
}

int main(int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        REQUIRE(file != NULL && fseek(file, 0, SEEK_END) == 0);
        size_t size = (size_t)ftell(file);
        rewind(file);
        uint8_t *data = malloc(size ? size : 1);
        REQUIRE(data != NULL && fread(data, 1, size, file) == size);
        fclose(file);
        fprintf(stderr, "%s\n", argv[i]);
        run(argv[1], data, size);
        free(data);
    }
    printf("%d\n", argc - 2);
    return 0;
}
