/*
 * What a study found, as a table or as JSON.
 */
#ifndef INK_CLI_STUDY_REPORT_H
#define INK_CLI_STUDY_REPORT_H

#include "cli/study_input.h"

/* Of one picture. */
typedef struct cli_measure {
    double seconds;         /* all of it: text, steps, decoding */
    double denoise_seconds; /* the steps */
    double psnr, ssim;      /* against the picture of the most steps; infinite and 1 if equal */
} cli_measure;

typedef struct cli_study_report {
    const char *model, *backend;
    int width, height;
    double guidance;
    int64_t seed;
    const cli_prompts *prompts;
    const cli_counts *counts;
    const cli_measure *measures; /* [prompt][count] */
} cli_study_report;

/* Print to standard output. The JSON one is false, after a sentence, if memory runs out. */
void cli_study_print_table(const cli_study_report *report);
bool cli_study_print_json(cli_console *console, const cli_study_report *report);

#endif
