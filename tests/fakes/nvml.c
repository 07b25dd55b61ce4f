/* A fake libnvidia-ml.so.1: two GPUs whose values move, and errors on demand.

   gcc -shared -fPIC -o libnvidia-ml.so.1 nvml.c

   Knobs are environment variables, read at every call; a file named by FAKE_NVML_FILE with lines NAME=VALUE goes
   before them, so that a running program can be given a fault. Codes are those of nvml.h, 0 is none.

     FAKE_NVML_INIT=18             nvmlInit answers this code
     FAKE_NVML_COUNT_ERROR=1       nvmlDeviceGetCount answers this code
     FAKE_NVML_GPUS=2              how many GPUs there are (at most 16)
     FAKE_NVML_NAME=...            the name of every GPU
     FAKE_NVML_PID=1               a process on GPU 0; the caller's own without it
     FAKE_NVML_PROCESSES=3         so many of them, with pids from that one on
     FAKE_NVML_EVERYWHERE=1        they are on every GPU and slice, each with pids of its own: 100 more a GPU, 10 a slice
     FAKE_NVML_NO_PROCESS_MEMORY=1 what they hold is "not available", as under Windows
     FAKE_NVML_HANG=1              nvmlDeviceGetCount does not return while this is set
     FAKE_NVML_INIT_HANG=1         nor does nvmlInit
     FAKE_NVML_GONE=1              GPU 1 has fallen off: one less is counted, and those after it move up
     FAKE_NVML_1_HANDLE=15         the handle of GPU 1 answers this code; likewise NAME, UUID, MEMORY, UTILISATION,
                                   TEMPERATURE, POWER, LIMIT, PROCESSES and CLOCKS for its values
     FAKE_NVML_1_NOISE=1           the name of GPU 1 is no text
     FAKE_NVML_1_NO_MEMORY=1       it answers, and has 0 bytes of 0 in use
     FAKE_NVML_1_REASONS=32        why its clock is held down, bits of nvmlClocksEventReasons
     FAKE_NVML_1_MIG=2             it is in MIG mode and has so many slices, each of which tells its own processes

   With -DOLD_DRIVER it is a library of before 2022: without what came later, and with the names of then. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

typedef struct {
    int index;
    unsigned tick; /* grows with each reading of the utilisation */
    int number;    /* of a slice; 0 is the GPU itself */
} Gpu;
typedef struct {
    unsigned long long total, free, used;
} Memory;
typedef struct {
    unsigned gpu, memory;
} Utilisation;
typedef struct {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
} Process;

static Gpu gpus[16];
static Gpu slices[16][7]; /* of GPUs in MIG mode; their index is the GPU's, their number counts from 1 */
static int started;

/* The knob's value, in a buffer that the next call overwrites, or NULL. */
static const char *text_knob(const char *name) {
    static char line[512];
    const char *path = getenv("FAKE_NVML_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    const char *found = NULL;
    size_t length = strlen(name);
    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, name, length) && line[length] == '=')
            found = line + length + 1;
    }
    if (file)
        fclose(file);
    return found ? found : getenv(name);
}

static int knob(const char *name, int otherwise) {
    const char *text = text_knob(name);
    return text && *text ? atoi(text) : otherwise;
}

static int fault(const Gpu *gpu, const char *value) {
    char name[64];
    if (!started)
        return UNINITIALIZED;
    snprintf(name, sizeof name, "FAKE_NVML_%d_%s", gpu->index, value);
    return knob(name, SUCCESS);
}

static int own_knob(const Gpu *gpu, const char *value) {
    char name[64];
    snprintf(name, sizeof name, "FAKE_NVML_%d_%s", gpu->index, value);
    return knob(name, 0);
}

int nvmlInitWithFlags(unsigned flags) {
    while (knob("FAKE_NVML_INIT_HANG", 0))
        usleep(10000);
    int code = knob("FAKE_NVML_INIT", SUCCESS);
    (void)flags;
    started = code == SUCCESS;
    return code;
}

int nvmlShutdown(void) {
    int code = started ? SUCCESS : UNINITIALIZED;
    started = 0;
    return code;
}

const char *nvmlErrorString(int code) {
    return code == SUCCESS ? "Success" : "A fake error";
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    while (knob("FAKE_NVML_HANG", 0))
        usleep(10000);
    if (!started)
        return UNINITIALIZED;
    *count = (unsigned)knob("FAKE_NVML_GPUS", 2) - (knob("FAKE_NVML_GONE", -1) >= 0);
    return knob("FAKE_NVML_COUNT_ERROR", SUCCESS);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) {
    if (index >= sizeof gpus / sizeof *gpus)
        return INVALID_ARGUMENT;
    if (knob("FAKE_NVML_GONE", -1) >= 0 && (int)index >= knob("FAKE_NVML_GONE", -1))
        index++;
    gpus[index].index = (int)index;
    *gpu = &gpus[index];
    return fault(*gpu, "HANDLE");
}

int nvmlDeviceGetName(const Gpu *gpu, char *name, unsigned size) {
    const char *given = text_knob("FAKE_NVML_NAME");
    if (!given)
        given = "NVIDIA RTX 6000 Ada Generation";
    if (own_knob(gpu, "NOISE"))
        snprintf(name, size, "\xff\xfe\x80");
    else if (gpu->number)
        snprintf(name, size, "%s MIG 1g.10gb", given);
    else
        snprintf(name, size, "%s", given);
    return fault(gpu, "NAME");
}

int nvmlDeviceGetUUID(const Gpu *gpu, char *uuid, unsigned size) {
    snprintf(uuid, size, "%s-00000000-0000-4000-8000-%012d", gpu->number ? "MIG" : "GPU",
             gpu->index + 100 * gpu->number);
    return fault(gpu, "UUID");
}

int nvmlDeviceGetMemoryInfo(const Gpu *gpu, Memory *memory) {
    memory->total = gpu->number ? 10ULL << 30 : 48ULL << 30;
    memory->used = gpu->number ? (unsigned long long)gpu->number << 30 : (8ULL * (unsigned)gpu->index + 4) * (1ULL << 30) + (gpu->tick % 64) * (64ULL << 20);
    if (own_knob(gpu, "NO_MEMORY"))
        memory->total = memory->used = 0;
    memory->free = memory->total - memory->used;
    return fault(gpu, "MEMORY");
}

int nvmlDeviceGetUtilizationRates(Gpu *gpu, Utilisation *use) {
    gpu->tick++;
    use->gpu = (gpu->tick * 7 + (unsigned)gpu->index * 23) % 101;
    use->memory = use->gpu / 2;
    if (own_knob(gpu, "MIG"))
        return NOT_SUPPORTED;
    return fault(gpu, "UTILISATION");
}

int nvmlDeviceGetTemperature(const Gpu *gpu, int sensor, unsigned *degrees) {
    (void)sensor;
    *degrees = 40 + gpu->tick % 30;
    return fault(gpu, "TEMPERATURE");
}

int nvmlDeviceGetPowerUsage(const Gpu *gpu, unsigned *milliwatts) {
    *milliwatts = 70500 + gpu->tick % 50 * 4000;
    return fault(gpu, "POWER");
}

int nvmlDeviceGetEnforcedPowerLimit(const Gpu *gpu, unsigned *milliwatts) {
    *milliwatts = 300000;
    return fault(gpu, "LIMIT");
}

#ifdef OLD_DRIVER
#define RUNNING_PROCESSES nvmlDeviceGetComputeRunningProcesses_v2
#define REASONS nvmlDeviceGetCurrentClocksThrottleReasons
#else
#define RUNNING_PROCESSES nvmlDeviceGetComputeRunningProcesses_v3
#define REASONS nvmlDeviceGetCurrentClocksEventReasons
#endif

int RUNNING_PROCESSES(const Gpu *gpu, unsigned *count, Process *processes) {
    int code = fault(gpu, "PROCESSES");
    unsigned room = *count, wanted = (unsigned)knob("FAKE_NVML_PROCESSES", 1);
    if (own_knob(gpu, "MIG") && !gpu->number)
        return NOT_SUPPORTED; /* its slices are asked */
    if (code)
        return code;
    int everywhere = knob("FAKE_NVML_EVERYWHERE", 0);
    unsigned first = (unsigned)knob("FAKE_NVML_PID", (int)getpid());
    if (everywhere)
        first += 100 * (unsigned)gpu->index + 10 * (unsigned)gpu->number;
    *count = everywhere || (gpu->index == 0 && gpu->number < 2) ? wanted : 0;
    if (!*count)
        return SUCCESS;
    if (room < wanted)
        return INSUFFICIENT_SIZE;
    memset(processes, 0, wanted * sizeof *processes);
    for (unsigned number = 0; number < wanted; number++) {
        processes[number].pid = first + number;
        processes[number].memory = knob("FAKE_NVML_NO_PROCESS_MEMORY", 0) ? ~0ULL : 3ULL << 30;
    }
    return SUCCESS;
}

int REASONS(const Gpu *gpu, unsigned long long *reasons) {
    *reasons = (unsigned long long)own_knob(gpu, "REASONS");
    return fault(gpu, "CLOCKS");
}

#ifndef OLD_DRIVER
int nvmlDeviceGetMigMode(const Gpu *gpu, unsigned *current, unsigned *pending) {
    *current = *pending = own_knob(gpu, "MIG") > 0;
    return fault(gpu, "MIG_MODE");
}

int nvmlDeviceGetMaxMigDeviceCount(const Gpu *gpu, unsigned *count) {
    (void)gpu;
    *count = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(const Gpu *gpu, unsigned index, Gpu **slice) {
    if ((int)index >= own_knob(gpu, "MIG"))
        return NOT_FOUND;
    *slice = &slices[gpu->index][index];
    (*slice)->index = gpu->index;
    (*slice)->number = (int)index + 1;
    return SUCCESS;
}
#endif
