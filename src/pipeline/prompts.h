/*
 * The first stage: prompts to embeddings.
 */
#ifndef INK_PIPELINE_PROMPTS_H
#define INK_PIPELINE_PROMPTS_H

#include "pipeline/executable.h"
#include "pipeline/model.h"

enum { ink_max_prompts = 2 };

/* What the reference pipeline keeps of a prompt unless told otherwise (max_sequence_length), and the most
 * that it ever keeps. */
enum { ink_default_kept_tokens = 512, ink_max_kept_tokens = 1024 };

/* Packed embeddings of up to two prompts. */
typedef struct ink_prompts {
    int64_t n;
    int64_t tokens[ink_max_prompts]; /* rows of each, the template's first rows dropped */
    ink_buffer *embeds;              /* [sum(tokens), hidden_size], owned */
} ink_prompts;

/* Which values inside the text encoder to hand out; see graph.h. */
typedef struct ink_prompt_taps {
    ink_tap_mode mode;
    ink_tap_filter filter;
    void *filter_user;
    /* Called after the run for every tap, with its values. */
    void (*on_tap)(void *user, const char *name, const float *values, const ink_shape *shape);
    void *user;
} ink_prompt_taps;

/* Encodes n prompts in one packed run. Of each, `max_kept` tokens are kept; the model's log hears of a cut.
 * `taps` is nullable; with taps, values that are not finite are no error. Free with ink_prompts_fini (also
 * after failure). */
ink_status ink_prompts_encode(ink_model *model, const char *const *texts, int64_t n, size_t max_kept,
                              const ink_prompt_taps *taps, const ink_run_control *control,
                              ink_prompts *prompts, ink_error *error);

/* The same, with a program that stays for other prompts of the same lengths. Zeroed at first. */
typedef struct ink_text_program {
    ink_executable executable;
    ink_prompts prompts;             /* encoded last */
    int64_t tokens[ink_max_prompts]; /* of each, with the template's */
} ink_text_program;

ink_status ink_text_program_encode(ink_text_program *t, ink_model *model, const char *const *texts, int64_t n,
                                   size_t max_kept, const ink_run_control *control, ink_error *error);
void ink_text_program_fini(ink_text_program *t);

/* The first half of it: makes the program that encodes `ids`, those of prompts->n prompts one after the
 * other, tokens[i] each with the template's, into prompts->embeds. Free `e` (also after failure) with
 * ink_executable_fini. */
ink_status ink_prompts_compile(ink_model *model, ink_executable *e, const int32_t *ids, const int64_t *tokens,
                               const ink_prompt_taps *taps, ink_prompts *prompts, ink_error *error);
void ink_prompts_fini(ink_prompts *prompts);

#endif
