/*
 * Weights that no file holds: values from a counter-based generator, made when a tensor is first asked for.
 */
#include "weights/synthetic.h"

#include "base/arena.h"
#include "weights/source.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Values shared by all tensors of one collapsed name and shape. */
typedef struct values {
    struct values *next;
    char *key; /* collapsed name and shape */
    void *data;
} values;

typedef struct named {
    struct named *next;
    ink_weight weight;
    ink_synthetic_recipe recipe;
    values *values;
} named;

enum { buckets = 4096 };

typedef struct synthetic_weights {
    ink_weights base;
    bool fill;       /* false: data stay NULL */
    ink_arena arena; /* of everything but data */
    named *names[buckets];
    values *shared[buckets];
    pthread_mutex_t lock;
} synthetic_weights;

static uint64_t hash_text(const char *text) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    }
    return hash;
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Values are uniform in centre +- spread. */
static void choose_range(const char *name, const ink_shape *shape, float *centre, float *spread) {
    const int64_t count = ink_shape_count(shape);
    const bool vector = shape->rank == 1 || shape->dim[0] == count;
    *centre = 0;
    if (ends_with(name, "bias")) {
        *spread = 0.02f;
    } else if (vector || ends_with(name, "gamma")) {
        *centre = 1;
        *spread = 0.1f;
    } else {
        const double fan_in = (double)(count / shape->dim[0]);
        *spread = (float)sqrt(3.0 / fan_in);
    }
}

/* `key` is the collapsed name. */
static ink_synthetic_recipe make_recipe(const char *name, const ink_shape *shape, const char *key) {
    float centre, spread;
    choose_range(name, shape, &centre, &spread);
    const float scale = spread / 32768.0f;
    return (ink_synthetic_recipe){
        .key = hash_text(key), .scale = scale, .offset = centre - spread + 0.5f * scale};
}

static void fill(uint16_t *out, int64_t count, const ink_synthetic_recipe *recipe) {
    for (int64_t i = 0; i < count; i += 4) {
        const uint64_t bits = ink_synthetic_bits(recipe->key, (uint64_t)(i / 4));
        const int64_t n = count - i < 4 ? count - i : 4;
        for (int64_t k = 0; k < n; k++) {
            out[i + k] = ink_bf16_from_f32(
                ink_synthetic_value((uint32_t)(bits >> (16 * k) & 0xFFFF), recipe->scale, recipe->offset));
        }
    }
}

/* "transformer_blocks.17.attn.to_q.weight [3072, 3072]" -> "transformer_blocks.0.attn.to_q.weight [...]" */
static char *collapse(ink_arena *arena, const char *name, const ink_shape *shape) {
    char text[INK_SHAPE_TEXT_BYTES];
    ink_shape_text(shape, text);
    const size_t size = strlen(name) + strlen(text) + 2;
    char *key = ink_arena_alloc(arena, size);
    if (!key) return NULL;
    size_t n = 0;
    for (const char *c = name; *c;) {
        const size_t digits = strspn(c, "0123456789");
        const bool begins = c == name || c[-1] == '.';
        if (digits && begins && (c[digits] == '.' || c[digits] == '\0')) {
            key[n++] = '0';
            c += digits;
        } else {
            key[n++] = *c++;
        }
    }
    snprintf(key + n, size - n, " %s", text);
    return key;
}

bool ink_synthetic_recipe_of(const char *name, const ink_shape *shape, ink_synthetic_recipe *recipe) {
    ink_arena arena = {0};
    const char *key = collapse(&arena, name, shape);
    if (key) *recipe = make_recipe(name, shape, key);
    ink_arena_free(&arena);
    return key != NULL;
}

static values *find_values(synthetic_weights *w, const char *key) {
    values **bucket = &w->shared[hash_text(key) % buckets];
    for (values *v = *bucket; v; v = v->next) {
        if (strcmp(v->key, key) == 0) return v;
    }
    values *v = ink_arena_alloc(&w->arena, sizeof *v);
    if (!v) return NULL;
    v->key = ink_arena_copy_text(&w->arena, key);
    if (!v->key) return NULL;
    v->next = *bucket;
    return *bucket = v;
}

static named *find_named(synthetic_weights *w, const char *name, const ink_shape *shape) {
    named **bucket = &w->names[hash_text(name) % buckets];
    for (named *n = *bucket; n; n = n->next) {
        if (strcmp(n->weight.name, name) == 0 && ink_shape_equal(&n->weight.shape, shape)) return n;
    }
    named *n = ink_arena_alloc(&w->arena, sizeof *n);
    char *copy = ink_arena_copy_text(&w->arena, name);
    char *key = collapse(&w->arena, name, shape);
    values *v = key ? find_values(w, key) : NULL;
    if (!n || !copy || !v) return NULL;
    n->recipe = make_recipe(name, shape, key);
    n->weight = (ink_weight){.name = copy, .dtype = INK_BF16, .shape = *shape, .recipe = &n->recipe};
    n->values = v;
    n->next = *bucket;
    return *bucket = n;
}

static ink_status get_locked(synthetic_weights *w, const char *name, const ink_shape *shape,
                             const ink_weight **weight, ink_error *error) {
    named *n = find_named(w, name, shape);
    if (!n) return ink_fail_memory(error, name, sizeof *n);
    values *v = n->values;
    if (w->fill && !v->data) {
        const int64_t count = ink_shape_count(shape);
        v->data = malloc((size_t)count * sizeof(uint16_t));
        if (!v->data) return ink_fail_memory(error, name, (size_t)count * sizeof(uint16_t));
        fill(v->data, count, &n->recipe);
    }
    n->weight.data = w->fill ? v->data : NULL;
    *weight = &n->weight;
    return INK_OK;
}

static ink_status get(ink_weights *base, const char *name, const ink_shape *shape, const ink_weight **weight,
                      ink_error *error) {
    synthetic_weights *w = (synthetic_weights *)base;
    if (ink_shape_count(shape) <= 0 || shape->rank < 1) {
        char text[INK_SHAPE_TEXT_BYTES];
        return ink_fail(error, INK_ERROR_FORMAT, "tensor \"%s\" cannot have the shape %s", name,
                        ink_shape_text(shape, text));
    }
    pthread_mutex_lock(&w->lock);
    const ink_status status = get_locked(w, name, shape, weight, error);
    pthread_mutex_unlock(&w->lock);
    return status;
}

static void release(ink_weights *base) {
    synthetic_weights *w = (synthetic_weights *)base;
    for (size_t i = 0; i < buckets; i++) {
        for (values *v = w->shared[i]; v; v = v->next) {
            free(v->data);
            v->data = NULL;
        }
    }
}

static void leave_unfilled(ink_weights *base) {
    ((synthetic_weights *)base)->fill = false;
}

static void close_synthetic(ink_weights *base) {
    synthetic_weights *w = (synthetic_weights *)base;
    release(base);
    pthread_mutex_destroy(&w->lock);
    ink_arena_free(&w->arena);
    free(w);
}

static const ink_weights_source synthetic_source = {
    .get = get, .release = release, .close = close_synthetic, .leave_unfilled = leave_unfilled};

static ink_status create(bool with_values, ink_weights **weights, ink_error *error) {
    *weights = NULL;
    synthetic_weights *w = calloc(1, sizeof *w);
    if (!w || pthread_mutex_init(&w->lock, NULL) != 0) {
        free(w);
        return ink_fail_memory(error, "weights", sizeof *w);
    }
    w->base = (ink_weights){.source = &synthetic_source, .path = "synthetic", .synthetic = true};
    w->fill = with_values;
    *weights = &w->base;
    return INK_OK;
}

ink_status ink_weights_create_synthetic(ink_weights **weights, ink_error *error) {
    return create(true, weights, error);
}

ink_status ink_weights_create_census(ink_weights **weights, ink_error *error) {
    return create(false, weights, error);
}
