/*
 * Inkstone: Qwen-Image text-to-image as a library.
 *
 * The whole public interface is in this header. It is plain C99 and may be included from C++.
 *
 * Rules that hold everywhere:
 *  - Functions that can fail return an ink_status; INK_OK (0) is the only success. The last parameter,
 *    `error`, may be NULL; otherwise it receives one sentence for a person on failure and is untouched on
 *    success. Output pointers are set to NULL on failure.
 *  - Strings are UTF-8 and NUL-terminated. The library copies what it keeps.
 *  - The library never prints, never ends the process, reads no environment variable and keeps no global
 * state. Different objects may be used from different threads at the same time.
 *  - Structs that the caller fills begin with `struct_size`; fill them with their _init function first, so
 * that a program compiled against an older header keeps working with a newer library.
 */
#ifndef INKSTONE_H
#define INKSTONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INK_VERSION_MAJOR  0
#define INK_VERSION_MINOR  1
#define INK_VERSION_PATCH  0
#define INK_VERSION_STRING "0.1.0"

#if defined(__GNUC__) || defined(__clang__)
#define INK_API                __attribute__((visibility("default")))
#define INK_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define INK_API
#define INK_PRINTF(fmt, first)
#endif

/* ------------------------------------------------------------------------------------------------------------
 */
/* Status */
/* ------------------------------------------------------------------------------------------------------------
 */

typedef enum ink_status {
    INK_OK = 0,
    INK_ERROR_ARGUMENT = 1,    /* a value given by the caller is out of range or missing */
    INK_ERROR_MEMORY = 2,      /* not enough memory */
    INK_ERROR_IO = 3,          /* a file cannot be opened, read or written */
    INK_ERROR_FORMAT = 4,      /* a file was read but its content is wrong */
    INK_ERROR_UNSUPPORTED = 5, /* valid, but this build or version cannot do it */
    INK_ERROR_NUMERIC = 6,     /* a computation produced a NaN or an infinity */
    INK_ERROR_CANCELLED = 7,   /* the caller's should_cancel returned true */
    INK_ERROR_INTERNAL = 8     /* a mistake in Inkstone itself */
} ink_status;

#define INK_MESSAGE_BYTES 1024

typedef struct ink_error {
    ink_status status;
    char message[INK_MESSAGE_BYTES]; /* one sentence naming the value and the remedy, NUL-terminated */
} ink_error;

/* Version of the library that is running, e.g. "0.1.0". Static storage. */
INK_API const char *ink_version(void);

/* Short name of a status, e.g. "out of memory". Static storage; never NULL. */
INK_API const char *ink_status_name(ink_status status);

/* Name of the i-th backend that this build contains ("cpu", ...), the preferred one first; NULL past the end.
 */
INK_API const char *ink_backend_name(size_t i);

/* Whether the backend called `name` can be used on this machine. `text` (nullable; `size` bytes) receives a
 * line for a person: what it computes on, or what is missing. */
INK_API bool ink_backend_usable(const char *name, char *text, size_t size);

typedef enum ink_log_level { INK_LOG_DEBUG = 0, INK_LOG_INFO = 1, INK_LOG_WARNING = 2 } ink_log_level;

/* Receives messages meant for a person (a prompt that was cut, which kernels were chosen). `message` is valid
 * only during the call. May be called from the thread that called the library only. */
typedef void (*ink_log_fn)(void *user, ink_log_level level, const char *message);

/* ------------------------------------------------------------------------------------------------------------
 */
/* Models */
/* ------------------------------------------------------------------------------------------------------------
 */

/* An opened checkpoint with the backend that runs it. Use one ink_model from several threads freely: calls
 * that compute wait for each other. */
typedef struct ink_model ink_model;

typedef struct ink_model_options {
    size_t struct_size;
    const char *path;      /* a folder in the Hugging Face layout, or "org/name" to be found in hub_cache */
    const char *hub_cache; /* the Hugging Face cache folder (usually ~/.cache/huggingface/hub); NULL: none */
    const char *backend;   /* "cuda", "cpu", ..., as ink_backend_name says; NULL: the first usable one */
    int threads;           /* worker threads of the CPU; 0: one per processor; at most 1024 */
    const char
        *cpu_level; /* cap on the instruction set: "scalar", "avx2", "avx512"; NULL: the best there is */
    bool synthetic; /* ignore weight files; fill weights from a counter-based generator (for measuring) */
    ink_log_fn log; /* nullable */
    void *log_user; /* handed to log */
    const char *precision; /* of what is computed: "f32", "bf16", "fp8"; NULL: the backend's own choice (cuda,
                              and mlx on Metal: bf16; elsewhere f32). cpu and reference know f32 alone, and
                              cuda alone knows fp8: bf16, but for the products of the transformer's blocks */
    const char *
        fused_modulate; /* norm, scale and shift as one Metal kernel (mlx): "auto", "on", "off"; NULL: auto */
    int layers;         /* of the transformer only the first so many blocks, to measure; 0: all of them */
    /* Bytes that mlx should stay below with its memory, its cache and what it keeps wired; 0: its own limits.
     * They are limits of the process: of two such models close the one first that was opened last. Other
     * backends warn that it does nothing. */
    int64_t max_ram;
    /* Bytes of the device's memory that cuda stays below; 0: no limit. Weights that do not fit come from
     * pinned memory of the host when they are needed. Other backends warn that it does nothing. */
    int64_t max_vram;
} ink_model_options;

INK_API void ink_model_options_init(ink_model_options *options);

/* Opens a model: reads its configuration, maps its weight files (nothing is copied), prepares the backend.
 * On success *model is owned by the caller: free it with ink_model_close.
 * Errors: INK_ERROR_IO (folder or file missing), INK_ERROR_FORMAT (broken file), INK_ERROR_UNSUPPORTED
 * (configuration flag this version cannot run, unknown backend), INK_ERROR_MEMORY, INK_ERROR_ARGUMENT. */
INK_API ink_status ink_model_open(const ink_model_options *options, ink_model **model, ink_error *error);

/* Frees a model; NULL is allowed. No call on it may be running. */
INK_API void ink_model_close(ink_model *model);

/* What the model's own defaults file (inkstone.json), or else Inkstone, proposes. */
typedef struct ink_defaults {
    int width, height;           /* pixels */
    int steps;                   /* denoising steps */
    double guidance;             /* true classifier-free guidance scale */
    const char *negative_prompt; /* owned by the model */
} ink_defaults;

INK_API void ink_model_defaults(const ink_model *model, ink_defaults *defaults);

/* Folder the model was read from (after looking into the hub cache). Owned by the model. */
INK_API const char *ink_model_path(const ink_model *model);

/* Name of the backend in use, and a line about it ("cpu: 8 threads, avx2"). Owned by the model. */
INK_API const char *ink_model_backend(const ink_model *model);

/* What it computes with, "f32", "bf16" or "fp8": options.precision, or what the backend chose. Static
 * storage. */
INK_API const char *ink_model_precision(const ink_model *model);

typedef struct ink_component {
    const char *name;      /* "text_encoder", "transformer", "vae" */
    const char *precision; /* storage formats by bytes, e.g. "bf16" or "bf16, f32" */
    int64_t parameters;    /* all tensors of the files */
    int64_t used;          /* those that text-to-image reads */
    int64_t tensors;       /* number of tensors */
    int64_t bytes;         /* bytes of tensor data */
} ink_component;

/* The i-th component; false past the end. The strings are owned by the model. */
INK_API bool ink_model_component(const ink_model *model, size_t i, ink_component *component);

/* ------------------------------------------------------------------------------------------------------------
 */
/* Generating */
/* ------------------------------------------------------------------------------------------------------------
 */

typedef enum ink_stage {
    INK_STAGE_TEXT = 0,    /* encoding the prompts */
    INK_STAGE_PREPARE = 1, /* noise, modulation and rotary tables, compiling the step */
    INK_STAGE_DENOISE = 2, /* step `done` of `total` is finished */
    INK_STAGE_DECODE = 3   /* picture `done` of `total` is decoded */
} ink_stage;

/* One operation that was computed, or several that the backend does as one. */
typedef struct ink_operation {
    ink_stage stage;
    int index;           /* which run within the stage: the step, or the picture; from 0 */
    const char *kind;    /* "linear", "attention", ...; valid during the call */
    const char *label;   /* which one: mostly the name of its weight; valid during the call */
    double begin;        /* seconds since the function that was given the callback was called */
    double seconds;      /* how long it took */
    double flops, bytes; /* 2 per multiply-add of matrix-like operations; what must be read and written */
    int track; /* operations of one track follow each other, those of different tracks may overlap */
} ink_operation;

typedef void (*ink_operation_fn)(void *user, const ink_operation *operation);

typedef struct ink_progress {
    ink_stage stage;
    int done, total;      /* within the stage; done = 0 when the stage begins */
    double stage_seconds; /* since the stage began */
    double seconds;       /* since ink_generate was called */
} ink_progress;

typedef void (*ink_progress_fn)(void *user, const ink_progress *progress);
/* Polled often, from the calling thread; return true to stop. */
typedef bool (*ink_cancel_fn)(void *user);

/* Which torch.randn the noise equals, bit for bit (torch on an x86 CPU with AVX2, one generator per picture).
 */
typedef enum ink_noise { INK_NOISE_F32 = 0, INK_NOISE_BF16 = 1 } ink_noise;

typedef struct ink_request {
    size_t struct_size;
    const char *prompt;          /* required; may be empty */
    const char *negative_prompt; /* NULL: the model's default */
    int width, height;           /* pixels, multiples of 16; 0: the model's default */
    int steps;                   /* 1 to 1000; 0: the model's default */
    double guidance;             /* > 1 runs the second pass; negative: the model's default */
    int64_t seed;                /* picture k uses seed + k; only the low 32 bits count, as in torch */
    int count;                   /* pictures, 1 to 64 */
    ink_noise noise;
    ink_progress_fn on_progress; /* nullable */
    ink_cancel_fn should_cancel; /* nullable */
    void *user;                  /* handed to all */
    int progress_every; /* backends that compute while the program goes on (mlx) report, and can be stopped,
                           every so many steps, 1 to 1000; 0: every 5. Others do so after each step */
    ink_operation_fn on_operation; /* nullable. Told of every operation when its run is finished; runs are
                                      slower for that, except on the CPU. Backends that cannot time single
                                      operations (mlx) never call it */
} ink_request;

/* Everything to its default; count 1, seed 0. The prompt must be set by the caller. */
INK_API void ink_request_init(ink_request *request);

/* 8-bit RGB pixels, row by row from the top, no padding: pixels[(y * width + x) * 3 + channel]. */
typedef struct ink_image {
    int width, height;
    int64_t seed;    /* the seed this picture was made with */
    uint8_t *pixels; /* width * height * 3 bytes, owned by the result */
} ink_image;

typedef struct ink_result {
    size_t count;
    ink_image *images;
    /* what was used in the end, after defaults */
    int steps;
    double guidance;
    char *negative_prompt; /* the one in effect; NULL if guidance <= 1 */
    double text_seconds, prepare_seconds, denoise_seconds, decode_seconds;
} ink_result;

/* Draws request->count pictures. On success *result is owned by the caller: free it with ink_result_free.
 * Errors: INK_ERROR_ARGUMENT (a field out of range), INK_ERROR_CANCELLED, INK_ERROR_NUMERIC (a velocity held
 * a NaN or an infinity: the sentence names the step and the block), INK_ERROR_MEMORY, INK_ERROR_FORMAT (a
 * tensor is missing or has the wrong shape). */
INK_API ink_status ink_generate(ink_model *model, const ink_request *request, ink_result **result,
                                ink_error *error);

/* NULL is allowed. */
INK_API void ink_result_free(ink_result *result);

typedef struct ink_png_options {
    size_t struct_size;
    const char *parameters; /* text chunk "parameters" that other tools read; nullable */
    const char *record;     /* text chunk "inkstone": JSON that repeats the picture; nullable */
    const char *software;   /* text chunk "Software"; nullable */
    int compression;        /* zlib level 0 to 9; usually 1, for which only runs of bytes are shortened */
} ink_png_options;

INK_API void ink_png_options_init(ink_png_options *options);

/* Encodes a picture as PNG into *bytes (free with ink_free). options may be NULL. */
INK_API ink_status ink_image_encode_png(const ink_image *image, const ink_png_options *options,
                                        uint8_t **bytes, size_t *size, ink_error *error);

/* Writes a PNG file. The file appears whole or not at all (written beside and renamed). options may be NULL.
 */
INK_API ink_status ink_image_write_png(const ink_image *image, const char *path,
                                       const ink_png_options *options, ink_error *error);

/* Frees memory that a function of this header handed out as "free with ink_free". NULL is allowed. */
INK_API void ink_free(void *memory);

/* ------------------------------------------------------------------------------------------------------------
 */
/* Tokenizer */
/* ------------------------------------------------------------------------------------------------------------
 */

typedef struct ink_tokenizer ink_tokenizer;

/* Reads tokenizer.json, or vocab.json + merges.txt (+ added_tokens.json), from a folder. A model folder also
 * works (its tokenizer/ is taken). Immutable afterwards: any number of threads may encode. Free with
 * ink_tokenizer_close. */
INK_API ink_status ink_tokenizer_open(const char *folder, ink_tokenizer **tokenizer, ink_error *error);
INK_API void ink_tokenizer_close(ink_tokenizer *tokenizer);

/* Token ids of `text` (any bytes; each invalid UTF-8 sequence counts as U+FFFD). with_template puts the text
 * into Qwen-Image's prompt template first. *ids is owned by the caller: free with ink_free. *count may be 0
 * (then *ids is still non-NULL). */
INK_API ink_status ink_tokenizer_encode(const ink_tokenizer *tokenizer, const char *text, size_t text_bytes,
                                        bool with_template, int32_t **ids, size_t *count, ink_error *error);

/* ------------------------------------------------------------------------------------------------------------
 */
/* Checking */
/* ------------------------------------------------------------------------------------------------------------
 */

/* Values of one tensor somewhere in a run. */
typedef struct ink_value_range {
    const char *name; /* e.g. "transformer_blocks.3.img"; valid during the call */
    int step;
    double min, max;    /* of the finite values */
    double rms;         /* root mean square of the finite values */
    int64_t non_finite; /* how many values are a NaN or an infinity */
} ink_value_range;

typedef void (*ink_range_fn)(void *user, const ink_value_range *range);

/* Runs request->steps steps of a picture and reports the range of values after the input projection, after
 * every block, after the output norm and projection. The first request->count picture only; nothing is
 * decoded. */
INK_API ink_status ink_inspect(ink_model *model, const ink_request *request, ink_range_fn on_range,
                               void *user, ink_error *error);

/* One comparison of ink_verify. */
typedef struct ink_check {
    const char *name;   /* of the golden tensor; valid during the call */
    double relative_l2; /* ||ours - golden|| / ||golden|| */
    double max_error;   /* largest absolute difference */
    double tolerance;   /* on relative_l2; 0: must be equal */
    bool passed;
    bool skipped;     /* nothing was compared: no stage has this name, or the stage's inputs are missing */
    const char *note; /* "" or a sentence: why it failed or was skipped */
} ink_check;

typedef void (*ink_check_fn)(void *user, const ink_check *check);

/* Runs every stage whose golden tensors are in `golden_path` (a safetensors file, format in docs/golden.md)
 * and reports each comparison. `tolerance` is on the relative L2 error, e.g. 1e-5; latents and images of
 * whole runs get ten times as much; token ids, noise and a schedule of one step must be equal. Returns INK_OK
 * when the comparisons could be made, whatever their outcome; *failed counts those that did not pass,
 * *checked all that were made (not the skipped ones). */
INK_API ink_status ink_verify(ink_model *model, const char *golden_path, double tolerance,
                              ink_check_fn on_check, void *user, size_t *checked, size_t *failed,
                              ink_error *error);

/* ------------------------------------------------------------------------------------------------------------
 */
/* Measuring */
/* ------------------------------------------------------------------------------------------------------------
 */

/* What ink_bench can measure; they are added up in ink_bench_options.parts. */
typedef enum ink_bench_part {
    INK_BENCH_ROOF = 1,    /* what the backend does at most: a large matrix product, a large copy */
    INK_BENCH_TEXT = 2,    /* encoding the prompts */
    INK_BENCH_PREPARE = 4, /* what is computed once per picture: modulation, rotary tables */
    INK_BENCH_STEP = 8,    /* a denoising step, with guidance and update */
    INK_BENCH_DECODE = 16, /* latents to pixels */
    INK_BENCH_ALL = 31
} ink_bench_part;

typedef struct ink_bench_options {
    size_t struct_size;
    unsigned parts;                /* sum of ink_bench_part; may be 0 if there are pictures */
    int width, height;             /* pixels, multiples of 16; 0: the model's default */
    int steps;                     /* of the schedule, and timed runs of each stage; 0: 5 */
    int tokens;                    /* of every prompt, without the template, 1 to 512; 0: 64 */
    double guidance;               /* > 1: two passes; negative: the model's default */
    ink_progress_fn on_progress;   /* nullable; counts runs within each stage */
    ink_cancel_fn should_cancel;   /* nullable */
    ink_operation_fn on_operation; /* nullable; told of the operations of one run of each stage */
    void *user;                    /* handed to all */
    int pictures; /* whole pictures that are drawn and timed, after a first one; 0: none; at most 1000 */
} ink_bench_options;

/* Everything to its default; all parts. */
INK_API void ink_bench_options_init(ink_bench_options *options);

/* The operations of one kind in one run of a stage. */
typedef struct ink_bench_kind {
    char *name;          /* as ink_operation.kind */
    int64_t launches;    /* how many there are */
    double seconds;      /* of all of them; median of the runs */
    double flops, bytes; /* of all of them, counted as ink_operation does */
    double roof_seconds; /* the time they need at least: each one's FLOP at the rate of the matrix product, or
                            its bytes at that of the copy, whichever takes longer; 0 without the roof */
} ink_bench_kind;

typedef struct ink_bench_stage {
    ink_stage stage;
    int runs;                         /* samples that the next line is about */
    double seconds, fastest, slowest; /* of one run; `seconds` is the median */
    double first_seconds;             /* recording, compiling (weights are read) and the first run together */
    double flops, bytes, roof_seconds; /* of one run, as in ink_bench_kind */
    size_t program_bytes;              /* memory that the program holds besides weights and buffers */
    size_t n_kinds;                    /* 0: the backend cannot time single operations */
    ink_bench_kind *kinds;             /* the slowest kind first */
    /* of a device, from the beginning of the stage to its end; 0: the backend does not count */
    size_t peak_bytes;      /* memory that the backend took at most, weights included */
    size_t device_bytes;    /* what the device had given to everybody then, as it says */
    double loaded_bytes;    /* of weights that were read from files */
    double loading_seconds; /* the time that took */
} ink_bench_stage;

/* From the prompt to the bytes of a PNG, medians. */
typedef struct ink_bench_picture {
    int runs;             /* pictures that the next lines are about; 0: it was not asked for */
    double seconds;       /* of one, everything */
    double first_seconds; /* of the one before: weights are read, everything is compiled */
    double text_seconds, prepare_seconds, denoise_seconds, decode_seconds, png_seconds;
    size_t png_bytes;
    size_t peak_bytes, device_bytes; /* as in ink_bench_stage */
} ink_bench_picture;

typedef struct ink_bench_result {
    /* what was measured, after defaults */
    int width, height, steps, tokens, passes, layers;
    double guidance;
    /* the roof; 0 if it was not asked for */
    double roof_flops, roof_bytes; /* per second */
    int roof_side;                 /* the product was of two square matrices of this side */
    double roof_copied;            /* bytes read, and as many written */
    size_t n_stages;
    ink_bench_stage stages[4];
    ink_bench_picture picture;
} ink_bench_result;

/* Measures a model with made-up prompts and latents. On success *result is owned by the caller: free it with
 * ink_bench_result_free. Errors: as ink_generate. */
INK_API ink_status ink_bench(ink_model *model, const ink_bench_options *options, ink_bench_result **result,
                             ink_error *error);

/* NULL is allowed. */
INK_API void ink_bench_result_free(ink_bench_result *result);

#ifdef __cplusplus
}
#endif

#endif
