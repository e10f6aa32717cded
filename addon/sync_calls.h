#pragma once

#include <napi.h>

namespace a3s {

/** Direct system calls on descriptors, for worker threads; each throws what went wrong. */
void ExportSyncCalls(Napi::Object exports);

}  // namespace a3s
