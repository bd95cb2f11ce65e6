/*
 * What generate and inspect have in common: a request from options, and its callbacks.
 */
#ifndef INK_CLI_REQUEST_H
#define INK_CLI_REQUEST_H

#include "cli/parse.h"
#include "cli/progress.h"

/* Fills size, guidance, seed, noise, negative prompt and the callbacks, whose user is `progress`. A seed that
 * is absent or negative is drawn by lot. */
void cli_request_init(const cli_arguments *arguments, cli_progress *progress, ink_request *request);

#endif
