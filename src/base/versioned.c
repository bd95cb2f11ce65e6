#include "base/versioned.h"

#include <string.h>

ink_status ink_struct_copy(void *known, size_t known_size, const void *given, size_t given_size,
                           const char *name, ink_error *error) {
    if (given_size <= sizeof(size_t)) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%s: struct_size %zu is too small; call %s_init first",
                        name, given_size, name);
    }
    if (given_size > known_size) {
        return ink_fail(
            error, INK_ERROR_ARGUMENT,
            "%s: struct_size %zu is larger than this library's %zu; call %s_init first, and use a library "
            "that is not older than the header",
            name, given_size, known_size, name);
    }
    memcpy(known, given, given_size);
    memcpy(known, &known_size, sizeof known_size);
    return INK_OK;
}
