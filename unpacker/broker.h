#pragma once

#include <string_view>

namespace a3s {

/**
 * Starts the process that sets the attributes for which the kernel wants CAP_SYS_ADMIN ("trusted.", "security."), which
 * the unpacker itself does not keep. It is in the jail too, can do nothing else, and ends with the unpacker.
 */
void StartBroker();

/** Sets an attribute of `name`, a single component, in the folder; an errno, or 0. A link is not followed. */
int BrokerSetAttribute(int dirfd, const char* name, const char* attribute, std::string_view value);

/** Waits for its end, if there is one. */
void EndBroker();

/** What the broker refuses: attributes that change what overlayfs shows, but for the one that hides lower layers. */
bool MayBeSet(std::string_view attribute, std::string_view value);

}  // namespace a3s
