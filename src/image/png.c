/*
 * Pictures as PNG in memory, with text chunks. Pixels and texts decide every byte: no times, no random parts.
 */
#include "base/quote.h"
#include "base/versioned.h"
#include "image/save.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { max_side = 1000000 }; /* libpng's own limit, and that of readers */

/* libpng reports errors by longjmp. All that changes while it may jump is here, and not in local variables,
 * whose values would be undefined after the jump. */
typedef struct encoder {
    png_structp png;
    png_infop info;
    ink_error *error;
    ink_status status;
    uint8_t *bytes;
    size_t size, capacity;
    char *texts[3]; /* chunk texts made valid UTF-8 */
    jmp_buf jump;
} encoder;

/* Pictures hardly ever repeat themselves: searching for what comes again takes most of the time, and is in
 * vain. With runs of equal bytes alone they were 7 % smaller to 6 % larger than with level 4, in half to a
 * third of the time. Level 1 stands for that, with the filter that suits pictures best instead of a choice
 * for each row; what zlib would do at level 1 takes longer and makes them larger. Only drawings without any
 * noise are much smaller with the levels above. */
enum { runs_alone = 1, usual_compression = runs_alone };

void ink_png_options_init(ink_png_options *options) {
    *options = (ink_png_options){.struct_size = sizeof *options, .compression = usual_compression};
}

static void on_error(png_structp png, png_const_charp message) {
    encoder *e = png_get_error_ptr(png);
    if (e->status == INK_OK) {
        /* Out of memory is the only thing that goes wrong with checked arguments. */
        e->status = ink_fail(e->error, INK_ERROR_MEMORY, "the PNG could not be made: %s", message);
    }
    longjmp(e->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep data, png_size_t n) {
    encoder *e = png_get_io_ptr(png);
    size_t need, capacity = e->capacity ? e->capacity : (size_t)64 << 10;
    if (!ink_size_add(e->size, n, &need)) png_error(png, "more bytes than memory can have");
    while (capacity < need) {
        if (!ink_size_mul(capacity, 2, &capacity)) png_error(png, "more bytes than memory can have");
    }
    if (capacity != e->capacity) {
        uint8_t *grown = realloc(e->bytes, capacity);
        if (!grown) {
            e->status = ink_fail_memory(e->error, "a PNG", capacity);
            png_error(png, "out of memory");
        }
        e->bytes = grown;
        e->capacity = capacity;
    }
    memcpy(e->bytes + e->size, data, n);
    e->size = need;
}

static void on_flush(png_structp png) {
    (void)png;
}

/* A copy of `text` in which every invalid byte is U+FFFD; NULL when memory runs out. */
static char *valid_utf8(const char *text) {
    static const char replacement[] = "\xEF\xBF\xBD";
    const size_t bytes = strlen(text);
    size_t room;
    if (!ink_size_mul(bytes, 3, &room) || !ink_size_add(room, 1, &room)) return NULL;
    char *copy = malloc(room);
    if (!copy) return NULL;
    size_t n = 0;
    for (size_t i = 0; i < bytes;) {
        const size_t length = ink_utf8_length(text + i, bytes - i);
        memcpy(copy + n, length ? text + i : replacement, length ? length : 3);
        n += length ? length : 3;
        i += length ? length : 1;
    }
    copy[n] = '\0';
    return copy;
}

static bool is_ascii(const char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text >= 0x80) return false;
    }
    return true;
}

static ink_status prepare_texts(encoder *e, const ink_png_options *options) {
    const char *const given[3] = {options->parameters, options->record, options->software};
    for (int i = 0; i < 3; i++) {
        if (!given[i]) continue;
        e->texts[i] = valid_utf8(given[i]);
        if (!e->texts[i]) return ink_fail_memory(e->error, "a PNG text", strlen(given[i]));
    }
    return INK_OK;
}

/* tEXt is Latin-1 and every reader knows it; anything beyond ASCII needs iTXt, which is UTF-8. */
static void write_texts(encoder *e) {
    static const char *const keys[3] = {"parameters", "inkstone", "Software"};
    for (int i = 0; i < 3; i++) {
        if (!e->texts[i]) continue;
        char key[16];
        strcpy(key, keys[i]);
        png_text text = {.compression =
                             is_ascii(e->texts[i]) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
                         .key = key,
                         .text = e->texts[i]};
        png_set_text(e->png, e->info, &text, 1);
    }
}

/* Everything that may jump. Returns false if it did. */
static bool encode(encoder *e, const ink_image *image, const ink_png_options *options) {
    if (setjmp(e->jump)) return false;
    png_set_write_fn(e->png, e, on_write, on_flush);
    png_set_compression_level(e->png, options->compression);
    if (options->compression == runs_alone) {
        png_set_compression_strategy(e->png, Z_RLE);
        png_set_filter(e->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_PAETH);
    }
    png_set_IHDR(e->png, e->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    write_texts(e);
    png_write_info(e->png, e->info);
    for (int y = 0; y < image->height; y++) {
        png_write_row(e->png, image->pixels + (size_t)y * (size_t)image->width * 3);
    }
    png_write_end(e->png, e->info);
    return true;
}

static ink_status check(const ink_image *image, const ink_png_options *options, ink_error *error) {
    size_t bytes;
    if (!image || !image->pixels) return ink_fail(error, INK_ERROR_ARGUMENT, "the picture has no pixels");
    if (image->width < 1 || image->height < 1 || image->width > max_side || image->height > max_side ||
        !ink_size_mul((size_t)image->width, (size_t)image->height, &bytes) ||
        !ink_size_mul(bytes, 3, &bytes)) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "a PNG of %d x %d pixels cannot be made: each side must be 1 to %d", image->width,
                        image->height, max_side);
    }
    if (options->compression < 0 || options->compression > 9) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "PNG compression %d is out of range: 0 to 9",
                        options->compression);
    }
    return INK_OK;
}

static ink_status run(encoder *e, const ink_image *image, const ink_png_options *options) {
    INK_TRY(prepare_texts(e, options));
    e->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, e, on_error, on_warning);
    e->info = e->png ? png_create_info_struct(e->png) : NULL;
    if (!e->info && e->status == INK_OK) return ink_fail_memory(e->error, "a PNG", sizeof *e);
    if (!encode(e, image, options)) return e->status;
    return INK_OK;
}

ink_status ink_image_encode_png(const ink_image *image, const ink_png_options *given, uint8_t **bytes,
                                size_t *size, ink_error *error) {
    if (!bytes || !size) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_image_encode_png: bytes is NULL");
    *bytes = NULL;
    *size = 0;
    ink_png_options options;
    ink_png_options_init(&options);
    if (given) {
        INK_TRY(
            ink_struct_copy(&options, sizeof options, given, given->struct_size, "ink_png_options", error));
    }
    INK_TRY(check(image, &options, error));
    encoder *e = calloc(1, sizeof *e);
    if (!e) return ink_fail_memory(error, "a PNG", sizeof *e);
    e->error = error;
    const ink_status status = run(e, image, &options);
    png_destroy_write_struct(&e->png, &e->info);
    for (int i = 0; i < 3; i++) {
        free(e->texts[i]);
    }
    if (status == INK_OK) {
        *bytes = e->bytes;
        *size = e->size;
    } else {
        free(e->bytes);
    }
    free(e);
    return status;
}

ink_status ink_image_write_png(const ink_image *image, const char *path, const ink_png_options *options,
                               ink_error *error) {
    uint8_t *bytes;
    size_t size;
    INK_TRY(ink_image_encode_png(image, options, &bytes, &size, error));
    const ink_status status = ink_save_file(path, bytes, size, error);
    ink_free(bytes);
    return status;
}
