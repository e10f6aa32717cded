#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../addon/unique_fd.h"

namespace a3s {

/** Descriptor of a user namespace, and the host's id of its root; none where `fd` is not valid. */
struct UserNamespace {
  UniqueFd fd;
  uint32_t root_id = 0;
};

/**
 * Dies with the daemon, has no descriptor but standard ones, the store's lock and, where `root_id` is not 0, a user
 * namespace, which is given; and bounded memory and time.
 */
UserNamespace BindToParent(uint32_t root_id);

/**
 * A mount namespace of its own whose root is the directory, and nothing else: what a hostile layer could make of this
 * process finds no file of the host to open. Gives the directories `seen` as detached read-only mounts, from which no
 * ".." leads out. In a user namespace the directory shows owners as that one has them. Whatever fails ends the process.
 */
std::vector<UniqueFd> EnterJail(const std::string& directory, const std::vector<std::string>& seen,
                                const UserNamespace& users);

/**
 * Becomes root of the user namespace, if there is one, and nobody on the host. What has to be done as the host's root
 * is done before. One thread only.
 */
void EnterUserNamespace(UserNamespace users);

}  // namespace a3s
