#pragma once

#include <string>

namespace a3s {

/**
 * The attributes of `name`, a single component in the working directory, as they stand behind an inode; empty where it
 * has none. A link is not followed.
 */
std::string PackAttributes(const char* name);

}  // namespace a3s
