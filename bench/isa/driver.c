/*
 * A Vulkan driver that hands everything to Mesa's RADV, told by RADV_FORCE_FAMILY to be a GPU that is not there, and does
 * nothing where something would be recorded or run. Pipelines are compiled to the GPU's own instructions. RADV_LIBRARY
 * names another RADV than the system's.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *, const char *);

static Lookup instance_lookup, physical_device_lookup, device_lookup;
static int (*negotiate)(uint32_t *);

static void load(void) {
  if (instance_lookup) return;
  const char *library = getenv("RADV_LIBRARY");
  void *radv = dlopen(library ? library : "libvulkan_radeon.so", RTLD_NOW | RTLD_LOCAL);
  if (!radv) return;
  instance_lookup = (Lookup)dlsym(radv, "vk_icdGetInstanceProcAddr");
  physical_device_lookup = (Lookup)dlsym(radv, "vk_icdGetPhysicalDeviceProcAddr");
  negotiate = (int (*)(uint32_t *))dlsym(radv, "vk_icdNegotiateLoaderICDInterfaceVersion");
}

static void nothing(void) {}

/* VK_SUCCESS */
static int done(void) { return 0; }

/* Every value of a timeline has come. */
static int reached(void *device, void *semaphore, uint64_t *value) {
  (void)device, (void)semaphore;
  *value = UINT64_MAX / 2;
  return 0;
}

static Function replaced(const char *name) {
  static const char *const succeed[] = {
      "vkBeginCommandBuffer", "vkEndCommandBuffer", "vkResetCommandBuffer", "vkResetCommandPool", "vkQueueSubmit",
      "vkQueueSubmit2",       "vkQueueSubmit2KHR",  "vkQueueWaitIdle",      "vkDeviceWaitIdle",   "vkWaitForFences",
      "vkGetFenceStatus",     "vkResetFences",      "vkWaitSemaphores"};
  if (strncmp(name, "vkCmd", 5) == 0) return nothing;
  if (strncmp(name, "vkGetSemaphoreCounterValue", 26) == 0) return (Function)reached;
  for (unsigned i = 0; i < sizeof succeed / sizeof *succeed; i++)
    if (strcmp(name, succeed[i]) == 0) return (Function)done;
  return 0;
}

static Function of_device(void *device, const char *name) {
  Function own = replaced(name);
  return own ? own : device_lookup(device, name);
}

__attribute__((visibility("default"))) Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
  load();
  Function found = instance_lookup ? instance_lookup(instance, name) : 0;
  if (!found) return 0;
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
    device_lookup = (Lookup)found;
    return (Function)of_device;
  }
  Function own = replaced(name);
  return own ? own : found;
}

__attribute__((visibility("default"))) Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  load();
  return physical_device_lookup ? physical_device_lookup(instance, name) : 0;
}

__attribute__((visibility("default"))) int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  load();
  return negotiate ? negotiate(version) : -9; /* VK_ERROR_INCOMPATIBLE_DRIVER */
}
