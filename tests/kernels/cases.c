/*
 * All cases in one list.
 */
#include "cases.h"

const kernel_case *kernel_case_at(size_t i) {
    const case_group groups[] = {cases_matrices(),  cases_norms(),  cases_elements(),
                                 cases_attention(), cases_tables(), cases_moving()};
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        if (i < groups[g].n) return &groups[g].cases[i];
        i -= groups[g].n;
    }
    return NULL;
}
