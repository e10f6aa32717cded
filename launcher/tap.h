#pragma once

#include <string>

#include "../addon/unique_fd.h"

namespace a3s {

/** An open queue of an existing tap of this network namespace, close-on-exec. Whatever fails ends the process. */
UniqueFd OpenTap(const std::string& name);

/**
 * The same as libkrun's virtio-net wants it: a header of 12 bytes, no offloads, not blocking. All that takes rights on
 * the tap is done then: libkrun reads and writes frames, from whatever network namespace.
 */
UniqueFd OpenTapForVirtioNet(const std::string& name);

}  // namespace a3s
