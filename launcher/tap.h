#pragma once

#include <string>

#include "../addon/unique_fd.h"

namespace a3s {

/**
 * Makes user 0 the owner of an existing tap of this network namespace. libkrun opens it only when the guest's driver
 * does, long after CAP_NET_ADMIN is gone; kernels since 6.14 (and stable ones with that fix) let only the owner do so.
 * Whatever fails ends the process.
 */
void OwnTap(const std::string& name);

/** The device, attached to no tap yet, close-on-exec: taps of this network namespace. Whatever fails ends the process.
 */
UniqueFd OpenTun();

/** An open queue of an existing tap of this network namespace, close-on-exec. Whatever fails ends the process. */
UniqueFd OpenTap(const std::string& name);

}  // namespace a3s
