#pragma once

#include <sys/types.h>

#include <string_view>

#include "jail.h"

namespace a3s {

/**
 * Starts the process that does what the kernel allows the host's root alone, and the unpacker therefore can't:
 * attributes for which it wants CAP_SYS_ADMIN ("trusted.", "security."), and device nodes. It is in the jail too, but
 * in no user namespace; it can do nothing else, and ends with the unpacker. What it makes belongs to the root of
 * `users`, where there is one: in the jail that is root.
 */
void StartBroker(const UserNamespace& users);

/** Sets an attribute of `name`, a single component, in the directory; an errno, or 0. A link is not followed. */
int BrokerSetAttribute(int dirfd, const char* name, const char* attribute, std::string_view value);

/** Makes a character or block device with these permissions; an errno, or 0. */
int BrokerMakeDevice(int dirfd, const char* name, mode_t mode, dev_t device);

/** Waits for its end, if there is one. */
void EndBroker();

/** What the broker refuses: attributes that change what overlayfs shows, but for the one that hides lower layers. */
bool MayBeSet(std::string_view attribute, std::string_view value);

}  // namespace a3s
