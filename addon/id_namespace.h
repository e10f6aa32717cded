#pragma once

#include <napi.h>
#include <sys/types.h>

#include <string>

#include "arguments.h"
#include "child_stack.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/**
 * A new user namespace with its ids, and namespaces that it owns. There as long as this is, by a process that waits to
 * be killed; what was opened or mounted of it stays.
 */
class IdNamespace {
 public:
  IdNamespace() = default;
  IdNamespace(const IdNamespace&) = delete;
  IdNamespace& operator=(const IdNamespace&) = delete;
  ~IdNamespace();

  /** `owned`: CLONE_NEW* of what it is to own. Once. */
  Failure Make(const IdMap& ids, int owned);
  /** Of one of them: "user", "net". */
  std::string PathOf(const char* kind) const;

 private:
  ChildStack stack_;
  UniqueFd pidfd_;
  pid_t pid_ = 0;
};

/** The user namespace alone, for MOUNT_ATTR_IDMAP. */
Outcome<UniqueFd> OpenIdNamespace(const IdMap& ids);

Napi::Value OpenUserNamespace(const Napi::CallbackInfo& info);

/** MOUNT_ATTR_IDMAP on a detached copy of a mount; `recurse` is AT_RECURSIVE or 0. EINVAL where a file system has none.
 */
Failure MapIds(int tree, int user_namespace, unsigned recurse, const std::string& source);

}  // namespace a3s
