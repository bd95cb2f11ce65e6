#include "verify.h"

#include "cuda/open_model.h"
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void note_failure(void *user, const ink_check *check) {
    (void)user;
    if (!check->passed)
        print_message("%s: %g, at most %g\n", check->name, check->relative_l2, check->tolerance);
}

size_t fake_verify(const char *path, const char *golden, double tolerance, bool quiet,
                   const ink_cuda_settings *settings) {
    ink_model *model = open_model_with(path, false, settings);
    size_t checked = 0, failed = 0;
    ink_error error = {0};
    if (ink_verify(model, golden, tolerance, quiet ? NULL : note_failure, NULL, &checked, &failed, &error) !=
        INK_OK)
        fail_msg("%s", error.message);
    ink_model_close(model);
    assert_true(checked >= 60);
    assert_int_equal(fake_leaks(), 0);
    return failed;
}
