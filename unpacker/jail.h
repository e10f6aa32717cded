#pragma once

#include <string>
#include <vector>

#include "../addon/unique_fd.h"

namespace a3s {

/** Dies with the daemon, has no descriptor but standard ones and the store's lock, and bounded memory and time. */
void BindToParent();

/**
 * A mount namespace of its own whose root is the folder, and nothing else: what a hostile layer could make of this
 * process finds no file of the host to open. Gives the folders `seen` as detached read-only mounts, from which no ".."
 * leads out. Whatever fails ends the process.
 */
std::vector<UniqueFd> EnterJail(const std::string& folder, const std::vector<std::string>& seen);

}  // namespace a3s
