#include "meter.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Sets a pointer to a function; false if there is none of this name. */
static bool find(void *library, const char *name, void *function, size_t bytes) {
    void *found = dlsym(library, name);
    memcpy(function, &found, bytes);
    return found != NULL;
}

meter meter_open(void) {
    meter m = {0};
    int (*init)(void) = NULL, (*device_at)(unsigned, void **) = NULL;
    m.library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (!m.library || !find(m.library, "nvmlInit_v2", &init, sizeof init) ||
        !find(m.library, "nvmlDeviceGetHandleByIndex_v2", &device_at, sizeof device_at) || init() != 0 ||
        device_at(0, &m.device) != 0)
        return (meter){0};
    (void)find(m.library, "nvmlDeviceGetTotalEnergyConsumption", &m.energy, sizeof m.energy);
    (void)find(m.library, "nvmlDeviceGetClockInfo", &m.clock, sizeof m.clock);
    return m;
}

double meter_joules(const meter *m) {
    unsigned long long millijoules = 0;
    return m->energy && m->energy(m->device, &millijoules) == 0 ? (double)millijoules * 1e-3 : (double)NAN;
}

unsigned meter_megahertz(const meter *m) {
    enum { multiprocessors = 1 };
    unsigned value = 0;
    return m->clock && m->clock(m->device, multiprocessors, &value) == 0 ? value : 0;
}
