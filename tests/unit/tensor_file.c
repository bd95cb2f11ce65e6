#include "tensor_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

unsigned char *tensor_file(const char *header, size_t data_bytes, size_t *bytes) {
    const size_t text = strlen(header), length = (text + 7) / 8 * 8;
    *bytes = 8 + length + data_bytes;
    unsigned char *file = malloc(*bytes);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) {
        file[i] = (unsigned char)((uint64_t)length >> 8 * i);
    }
    memcpy(file + 8, header, text);
    memset(file + 8 + text, ' ', length - text);
    for (size_t i = 0; i < data_bytes; i++) {
        file[8 + length + i] = (unsigned char)i;
    }
    return file;
}

void tensor_file_write(const char *folder, const char *name, const char *header, size_t data_bytes) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    size_t bytes;
    unsigned char *image = tensor_file(header, data_bytes, &bytes);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(image, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    free(image);
}
