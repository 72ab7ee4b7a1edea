// The part of NVIDIA's management library that is called: it reports one error of every device, and free memory.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define API extern "C" __attribute__((visibility("default"))) int

enum { SUCCESS = 0, TIMEOUT = 10 };
static const uint64_t XID_EVENT = 8;

struct Event {
  void* device;
  unsigned long long kind, data;
  unsigned gpu_instance, compute_instance;
};

struct Memory {
  unsigned long long total, free, used;
};

static uint64_t xid = 0, free_bytes = 0;

// The error that the next who asks is told, none for 0, and what is free of a device's memory.
extern "C" __attribute__((visibility("default"))) void fake_report(uint64_t error, uint64_t bytes) { xid = error, free_bytes = bytes; }

API nvmlInit_v2() { return SUCCESS; }
// A device is its bus.
API nvmlDeviceGetHandleByPciBusId_v2(const char* address, void** device) {
  return *device = reinterpret_cast<void*>(strtoull(address + 5, nullptr, 16) + 1), SUCCESS;
}
API nvmlDeviceGetMemoryInfo(void*, Memory* memory) { return *memory = {free_bytes, free_bytes, 0}, SUCCESS; }
API nvmlEventSetCreate(void** set) { return *set = malloc(1), SUCCESS; }
API nvmlDeviceRegisterEvents(void* device, unsigned long long kinds, void*) { return device != nullptr && kinds == XID_EVENT ? SUCCESS : 2; }
API nvmlEventSetWait_v2(void*, Event* event, unsigned) {
  if (xid == 0) return TIMEOUT;
  *event = {nullptr, XID_EVENT, xid, 0, 0};
  return xid = 0, SUCCESS;
}
API nvmlEventSetFree(void* set) { return free(set), SUCCESS; }
