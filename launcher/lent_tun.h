#pragma once

#include "../addon/unique_fd.h"

namespace a3s {

/**
 * What the next one in this process who opens /dev/net/tun gets. libkrun opens its tap by name when the guest's driver
 * asks for it, long after the jail has closed, and takes no open one. The device belongs to the network namespace that
 * it was opened in: from any other one libkrun attaches it to that tap, and reaches nothing else there.
 */
void LendTun(UniqueFd tun);

}  // namespace a3s
