/*
 * Where the command finds a model, and how it opens it.
 */
#ifndef INK_CLI_MODEL_H
#define INK_CLI_MODEL_H

#include "cli/parse.h"

/* The path of the model that is asked for: `named` if it is not NULL, else INKSTONE_MODEL, else the one that
 * comes with inkstone. *path: free with free(). False, after a sentence, if there is none. */
bool cli_model_path(cli_console *console, const char *named, char **path);

/* Opens the model that the options name. The console gets the library's messages and must outlive the model.
 * Returns an exit status; *model is NULL unless it is CLI_OK. */
int cli_model_open(cli_console *console, const cli_arguments *arguments, const char *named,
                   ink_model **model);

/* What a model is called in a picture's metadata: "org/name@revision" if it is in a cache of Hugging Face,
 * else the name of its folder, because the path before it is nobody's business. Free with free(); NULL if
 * memory runs out. */
char *cli_model_name(const char *path);

/* Prints the sentence of a failure; returns the exit status that fits it. */
int cli_failure(cli_console *console, ink_status status, const ink_error *error);

#endif
