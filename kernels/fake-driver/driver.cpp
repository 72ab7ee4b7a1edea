// A CUDA driver that computes on the processor: what the launches of this crate call, and no more. Memory starts as rubbish, and a
// kernel that writes beside it loses the device, as a GPU does.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#define API extern "C" __attribute__((visibility("default"))) int

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  NO_BINARY_FOR_GPU = 209,
  NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700,
};
enum { POOL_THRESHOLD = 4, POOL_RESERVED = 5, POOL_USED = 7 };
enum { MULTIPROCESSORS = 16, ECC_ENABLED = 32, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76, MEMORY_POOLS = 115 };

static const int DEVICES_MAX = 8;
static const size_t GUARD = 4096;
static const int RUBBISH = 0xa5;

// What a machine's driver answers unless a test asks for something else.
#ifndef INIT_ANSWER
#define INIT_ANSWER SUCCESS
#endif
#ifndef CUDA_VERSION
#define CUDA_VERSION 13000
#endif

struct Allocation {
  size_t bytes;
  int device;
};

// What a compiled source has for each kernel.
struct Kernel {
  void (*launch)(unsigned blocks, unsigned threads, uint64_t seed, void** arguments);
  size_t parameters;
  const size_t* sizes;
};

static std::mutex lock;
static int devices = 1, multiprocessors = 4, init_answer = INIT_ANSWER, cuda_version = CUDA_VERSION;
static size_t memory = size_t(1) << 30;
static uint64_t launches = 0;
static struct Device {
  int lost = SUCCESS;
  // Most memory that was taken at once.
  size_t peak = 0;
  // Memory that others have.
  size_t occupied = 0;
  // What its pool keeps, free memory included, and how much of that a synchronisation leaves.
  size_t reserved = 0, threshold = 0;
} device_of[DEVICES_MAX];
// A call that answers with an error, and nothing else does.
static std::string failing;
static int failing_answer = SUCCESS;
static std::map<uint64_t, Allocation> allocations;
static thread_local int current = 0;

// What a test asks of the driver. It also repairs devices that were lost, and begins the orders of threads anew.
extern "C" __attribute__((visibility("default"))) void fake_configure(int count, uint64_t bytes, int processors, int answer,
                                                                      int version) {
  std::lock_guard<std::mutex> held(lock);
  devices = count, memory = bytes, multiprocessors = processors, init_answer = answer, cuda_version = version;
  launches = 0;
  for (Device& device : device_of) device = Device{};
  failing.clear();
}

// Every later call of a device answers with this error.
extern "C" __attribute__((visibility("default"))) void fake_lose(int device, int answer) {
  std::lock_guard<std::mutex> held(lock);
  device_of[device].lost = answer;
}

// Every later call of this name answers with an error; an empty name ends it.
extern "C" __attribute__((visibility("default"))) void fake_fail(const char* call, int answer) {
  std::lock_guard<std::mutex> held(lock);
  failing = call, failing_answer = answer;
}

// Another process has so many bytes of a device.
extern "C" __attribute__((visibility("default"))) void fake_occupy(int device, uint64_t bytes) {
  std::lock_guard<std::mutex> held(lock);
  device_of[device].occupied = bytes;
}

extern "C" __attribute__((visibility("default"))) uint64_t fake_peak(int device) {
  std::lock_guard<std::mutex> held(lock);
  return device_of[device].peak;
}

static size_t used(int device) {
  size_t bytes = 0;
  for (const auto& [address, allocation] : allocations)
    if (allocation.device == device) bytes += allocation.bytes;
  return bytes;
}

static size_t kept(int device) { return used(device) > device_of[device].reserved ? used(device) : device_of[device].reserved; }

// What a call answers before it does anything.
static int answer(const char* call, int device) { return failing == call ? failing_answer : device_of[device].lost; }
#define OR_ANSWER(call) if (const int error = answer(call, current)) return error

static bool is_inside(uint64_t address, size_t bytes) {
  auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return false;
  const auto& [start, allocation] = *--after;
  return address + bytes <= start + allocation.bytes;
}

static bool guards_hold() {
  for (const auto& [address, allocation] : allocations)
    for (size_t byte = 0; byte < GUARD; byte++)
      if (reinterpret_cast<uint8_t*>(address)[allocation.bytes + byte] != RUBBISH) return false;
  return true;
}

API cuInit(unsigned) { return init_answer; }
#ifdef STUB
// What every call of the library answers that toolkits bring to link with.
API cuDriverGetVersion(int*) { return 34; }
#else
API cuDriverGetVersion(int* version) { return *version = cuda_version, SUCCESS; }
#endif
API cuDeviceGetCount(int* count) { return *count = devices, SUCCESS; }
API cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal < devices ? SUCCESS : INVALID_DEVICE; }
API cuDeviceGetName(char* name, int length, int device) {
  return snprintf(name, size_t(length), "Obelysk fake device %d", device), SUCCESS;
}
API cuDeviceGetUuid_v2(char* uuid, int device) { return memset(uuid, 0, 16), uuid[15] = char(device), SUCCESS; }
#ifndef INCOMPLETE
API cuDeviceGetPCIBusId(char* address, int length, int device) {
  return snprintf(address, size_t(length), "0000:%02x:00.0", device), SUCCESS;
}
#endif
API cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = memory, SUCCESS; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case MULTIPROCESSORS: *value = multiprocessors; break;
    case CAPABILITY_MAJOR: *value = 9; break;
    case ECC_ENABLED: case MEMORY_POOLS: *value = 1; break;
    default: *value = 0;
  }
  return SUCCESS;
}

API cuDevicePrimaryCtxRetain(void** context, int device) {
  return *context = reinterpret_cast<void*>(uintptr_t(device) + 1), answer("cuDevicePrimaryCtxRetain", device);
}
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuCtxSetCurrent(void* context) { return current = int(reinterpret_cast<uintptr_t>(context)) - 1, SUCCESS; }
API cuCtxGetCurrent(void** context) { return *context = reinterpret_cast<void*>(uintptr_t(current) + 1), SUCCESS; }
API cuStreamSynchronize(void*) {
  std::lock_guard<std::mutex> held(lock);
  Device& own = device_of[current];
  if (own.reserved > own.threshold) own.reserved = used(current) > own.threshold ? used(current) : own.threshold;
  return own.lost;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) {
  std::lock_guard<std::mutex> held(lock);
  return *total = memory, *free = memory - device_of[current].occupied - kept(current), device_of[current].lost;
}
API cuDeviceGetDefaultMemPool(void** pool, int device) {
  return *pool = reinterpret_cast<void*>(uintptr_t(device) + 1), SUCCESS;
}
API cuMemPoolSetAttribute(void* pool, int attribute, const uint64_t* value) {
  std::lock_guard<std::mutex> held(lock);
  if (attribute != POOL_THRESHOLD) return INVALID_VALUE;
  return device_of[reinterpret_cast<uintptr_t>(pool) - 1].threshold = *value, SUCCESS;
}
API cuMemPoolGetAttribute(void* pool, int attribute, uint64_t* value) {
  std::lock_guard<std::mutex> held(lock);
  const int device = int(reinterpret_cast<uintptr_t>(pool)) - 1;
  switch (attribute) {
    case POOL_THRESHOLD: *value = device_of[device].threshold; break;
    case POOL_RESERVED: *value = kept(device); break;
    case POOL_USED: *value = used(device); break;
    default: return INVALID_VALUE;
  }
  return SUCCESS;
}

// A queue does all of its work at once, so an event has always happened.
API cuEventCreate(void** event, unsigned) { return *event = event, SUCCESS; }
API cuEventRecord(void*, void*) { return SUCCESS; }
API cuEventDestroy_v2(void*) { return SUCCESS; }
API cuStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }

API cuMemAllocAsync(uint64_t* address, size_t bytes, void*) {
  std::lock_guard<std::mutex> held(lock);
  OR_ANSWER("cuMemAllocAsync");
  if (bytes == 0) return INVALID_VALUE;
  if (device_of[current].occupied + used(current) + bytes > memory) return OUT_OF_MEMORY;
  void* start = aligned_alloc(256, (bytes + GUARD + 255) / 256 * 256);
  if (start == nullptr) return OUT_OF_MEMORY;
  memset(start, RUBBISH, bytes + GUARD);
  *address = reinterpret_cast<uint64_t>(start);
  allocations[*address] = {bytes, current};
  if (used(current) > device_of[current].peak) device_of[current].peak = used(current);
  device_of[current].reserved = kept(current);
  return SUCCESS;
}
API cuMemFreeAsync(uint64_t address, void*) {
  std::lock_guard<std::mutex> held(lock);
  if (allocations.erase(address) == 0) return INVALID_VALUE;
  free(reinterpret_cast<void*>(address));
  return device_of[current].lost;
}
API cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void*) {
  std::lock_guard<std::mutex> held(lock);
  OR_ANSWER("cuMemcpyHtoDAsync");
  return is_inside(to, bytes) ? memcpy(reinterpret_cast<void*>(to), from, bytes), SUCCESS : INVALID_VALUE;
}
API cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void*) {
  std::lock_guard<std::mutex> held(lock);
  OR_ANSWER("cuMemcpyDtoHAsync");
  return is_inside(from, bytes) ? memcpy(to, reinterpret_cast<void*>(from), bytes), SUCCESS : INVALID_VALUE;
}
API cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void*) {
  std::lock_guard<std::mutex> held(lock);
  OR_ANSWER("cuMemcpyDtoDAsync");
  if (!is_inside(from, bytes) || !is_inside(to, bytes)) return INVALID_VALUE;
  return memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes), SUCCESS;
}
API cuMemcpyPeerAsync(uint64_t to, void* to_context, uint64_t from, void* from_context, size_t bytes, void*) {
  std::lock_guard<std::mutex> held(lock);
  OR_ANSWER("cuMemcpyPeerAsync");
  const auto is_of = [](uint64_t address, void* context) {
    return std::prev(allocations.upper_bound(address))->second.device == int(reinterpret_cast<uintptr_t>(context)) - 1;
  };
  if (!is_inside(from, bytes) || !is_inside(to, bytes) || !is_of(from, from_context) || !is_of(to, to_context))
    return INVALID_VALUE;
  return memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes), SUCCESS;
}
API cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void*) {
  std::lock_guard<std::mutex> held(lock);
  OR_ANSWER("cuMemsetD8Async");
  return is_inside(to, bytes) ? memset(reinterpret_cast<void*>(to), value, bytes), SUCCESS : INVALID_VALUE;
}

// Machine code is what the fake compiler makes: a mark, a length, and a shared library.
API cuModuleLoadData(void** module, const char* image) {
  OR_ANSWER("cuModuleLoadData");
  if (memcmp(image, "FAKECODE", 8) != 0) return NO_BINARY_FOR_GPU;
  uint64_t bytes;
  memcpy(&bytes, image + 8, sizeof bytes);
  const int file = memfd_create("kernels", 0);
  if (file < 0 || write(file, image + 16, bytes) != ssize_t(bytes)) return OUT_OF_MEMORY;
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  *module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  // The file stays open: a second library at the path of a closed one would be taken for it.
  return *module != nullptr ? SUCCESS : NO_BINARY_FOR_GPU;
}
API cuModuleUnload(void* module) { return dlclose(module), device_of[current].lost; }
API cuModuleGetFunction(void** function, void* module, const char* name) {
  return *function = dlsym(module, (std::string("kernel_") + name).c_str()), *function != nullptr ? SUCCESS : NOT_FOUND;
}
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void*, int, size_t, unsigned) {
  return *blocks = 1, SUCCESS;
}
API cuFuncGetParamInfo(void* function, size_t index, size_t* offset, size_t* size) {
  const Kernel* kernel = static_cast<Kernel*>(function);
  if (index >= kernel->parameters) return INVALID_VALUE;
  *offset = 0;
  for (size_t before = 0; before < index; before++) *offset += kernel->sizes[before];
  return *size = kernel->sizes[index], SUCCESS;
}
// Threads have no memory of their own beside registers.
API cuFuncGetAttribute(int* value, int, void*) { return *value = 0, SUCCESS; }
API cuLaunchKernel(void* function, unsigned blocks, unsigned grid_y, unsigned grid_z, unsigned threads, unsigned block_y,
                   unsigned block_z, unsigned shared, void*, void** arguments, void**) {
  std::lock_guard<std::mutex> held(lock);
  OR_ANSWER("cuLaunchKernel");
  if (blocks == 0 || threads == 0 || threads > 1024 || grid_y * grid_z * block_y * block_z != 1 || shared != 0)
    return INVALID_VALUE;
  static_cast<Kernel*>(function)->launch(blocks, threads, ++launches, arguments);
  // As on a GPU, the launch is queued without complaint, and what comes later hears of it.
  if (!guards_hold()) device_of[current].lost = ILLEGAL_ADDRESS;
  return SUCCESS;
}
API cuGetErrorName(int, const char** name) { return *name = "a fake error", SUCCESS; }
API cuGetErrorString(int, const char** text) { return *text = "an error of the fake driver", SUCCESS; }
