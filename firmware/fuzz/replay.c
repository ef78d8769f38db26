/* Runs files through the fuzzer's target, without libFuzzer: for the corpus, and for what a fuzzer found. */
#include <stdint.h>
#include <stdio.h>

#define MAX_INPUT_BYTES 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **paths)
{
    static uint8_t data[MAX_INPUT_BYTES];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(paths[i], "rb");
        if (file == NULL) {
            perror(paths[i]);
            return 1;
        }
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%d inputs\n", count - 1);
    return 0;
}
