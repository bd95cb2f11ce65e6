/*
 * What a PNG says about how it was made. Nothing in it depends on the machine, the time or the number of
 * threads: the same request gives the same bytes.
 */
#ifndef INK_CLI_METADATA_H
#define INK_CLI_METADATA_H

#include "inkstone.h"

typedef struct cli_metadata {
    char *prompt;          /* valid UTF-8 */
    char *negative_prompt; /* valid UTF-8; NULL: it had no part in the picture */
    char *model;           /* valid UTF-8 */
    const char *backend;   /* its name */
    const char *precision; /* of the computation: "f32", "bf16" */
    const char *noise;     /* "f32" or "bf16" */
    bool synthetic;
    int steps;
    double guidance;
} cli_metadata;

/* The text that other tools read, in the form of AUTOMATIC1111's web UI. Free with free(); NULL if memory
 * runs out. */
char *cli_parameters_text(const cli_metadata *metadata, const ink_image *image);

/* JSON with everything needed to repeat the picture `index` of `count`. Free with free(); NULL if memory runs
 * out.
 */
char *cli_record(const cli_metadata *metadata, const ink_image *image, size_t index, size_t count);

#endif
