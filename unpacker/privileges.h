#pragma once

#include <cstdint>
#include <initializer_list>

namespace a3s {

/** Keeps these capabilities and no others, for good, and sets no_new_privs. Whatever fails ends the process. */
void KeepCapabilities(std::initializer_list<int> kept);

/**
 * What the thread that asks may call from now on, and with `all_threads` every thread: anything else kills the process.
 */
enum class Role { kUnpacker, kBroker, kSettler, kPacker };
void AllowCallsOf(Role role);

}  // namespace a3s
