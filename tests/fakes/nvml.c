/* A fake libnvidia-ml.so.1: two GPUs whose values move, and errors on demand.

   gcc -shared -fPIC -o libnvidia-ml.so.1 nvml.c

   Knobs are environment variables, read at every call; a file named by FAKE_NVML_FILE with lines NAME=VALUE goes
   before them, so that a running program can be given a fault. Codes are those of nvml.h, 0 is none.

     FAKE_NVML_INIT=18             nvmlInit answers this code
     FAKE_NVML_COUNT_ERROR=1       nvmlDeviceGetCount answers this code
     FAKE_NVML_GPUS=2              how many GPUs there are (at most 16)
     FAKE_NVML_NAME=...            the name of every GPU
     FAKE_NVML_PID=1               a process on GPU 0; the caller's own without it
     FAKE_NVML_HANG=1              nvmlDeviceGetCount does not return while this is set
     FAKE_NVML_1_HANDLE=15         the handle of GPU 1 answers this code; likewise NAME, UUID, MEMORY, UTILISATION,
                                   TEMPERATURE, POWER, LIMIT and PROCESSES for its values */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, INSUFFICIENT_SIZE = 7 };

typedef struct {
    int index;
    unsigned tick; /* grows with each reading of the utilisation */
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

int nvmlInitWithFlags(unsigned flags) {
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
    *count = (unsigned)knob("FAKE_NVML_GPUS", 2);
    return knob("FAKE_NVML_COUNT_ERROR", SUCCESS);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) {
    if (index >= sizeof gpus / sizeof *gpus)
        return INVALID_ARGUMENT;
    gpus[index].index = (int)index;
    *gpu = &gpus[index];
    return fault(*gpu, "HANDLE");
}

int nvmlDeviceGetName(const Gpu *gpu, char *name, unsigned size) {
    const char *given = text_knob("FAKE_NVML_NAME");
    snprintf(name, size, "%s", given ? given : "NVIDIA RTX 6000 Ada Generation");
    return fault(gpu, "NAME");
}

int nvmlDeviceGetUUID(const Gpu *gpu, char *uuid, unsigned size) {
    snprintf(uuid, size, "GPU-00000000-0000-4000-8000-%012d", gpu->index);
    return fault(gpu, "UUID");
}

int nvmlDeviceGetMemoryInfo(const Gpu *gpu, Memory *memory) {
    memory->total = 48ULL << 30;
    memory->used = (8ULL * (unsigned)gpu->index + 4) * (1ULL << 30) + (gpu->tick % 64) * (64ULL << 20);
    memory->free = memory->total - memory->used;
    return fault(gpu, "MEMORY");
}

int nvmlDeviceGetUtilizationRates(Gpu *gpu, Utilisation *use) {
    gpu->tick++;
    use->gpu = (gpu->tick * 7 + (unsigned)gpu->index * 23) % 101;
    use->memory = use->gpu / 2;
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

int nvmlDeviceGetComputeRunningProcesses_v3(const Gpu *gpu, unsigned *count, Process *processes) {
    int code = fault(gpu, "PROCESSES");
    unsigned room = *count;
    if (code)
        return code;
    *count = gpu->index == 0;
    if (!*count)
        return SUCCESS;
    if (!room)
        return INSUFFICIENT_SIZE;
    memset(processes, 0, sizeof *processes);
    processes->pid = (unsigned)knob("FAKE_NVML_PID", (int)getpid());
    processes->memory = 3ULL << 30;
    return SUCCESS;
}
