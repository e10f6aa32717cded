#pragma once

#include <cstdint>
#include <optional>

namespace a3s {

/** Open files up to `open_files`, or the hard limit; no core dumps, which would hold the guest's memory. */
void SetLimits(std::optional<uint64_t> open_files);

/**
 * Keeps the capabilities that serving files for a guest's root needs, for good, and sets no_new_privs. Whatever fails
 * ends the process.
 */
void DropPrivileges();

}  // namespace a3s
